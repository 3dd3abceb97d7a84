/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The scripts. Each is short, touches only the entries that it is given, and writes nothing before it knows
 * that it may: an error leaves nothing half done. They run on Redis 6.2 and later, and on Valkey.
 */
#include "redis_scripts.h"

#include "redis_sha1.h"

#include <stdio.h>
#include <string.h>

/* ARGV group, consumer: is this entry still this host's? */
#define LUA_IS_MINE                                             \
    "local function is_mine(s, e)\n"                            \
    "  local p = redis.call('XPENDING', s, ARGV[1], e, e, 1)\n" \
    "  return p[1] and p[1][2] == ARGV[2]\n"                    \
    "end\n"

/*
 * KEYS  results, dead, attempts, streams of tasks..., then the key of the result of each task
 * ARGV  group, consumer, ttl in ms, length of results, length of dead, channel, host, number of streams,
 *       then of each stream the first and the last entry of these tasks ('' if it has none of them),
 *       then of each task nine: stream (number), entry, id, attempt, verdict, digest, mode, reason, result
 * mode  0 result, 1 result and dead letter, 2 dead letter and result, but the key is another task's
 * Gives of each task: 1 published, 2 it was published by us before, 3 its id was used before (nothing, or
 * a dead letter, was written), 0 not ours any more; or the text of an error: nothing was done for it.
 * What is ours is looked up for all at once, and one by one only where more than twice as much is pending between.
 */
static const char publish[] = LUA_IS_MINE
    "for i = 1, 2 do local t = redis.call('TYPE', KEYS[i]).ok\n"
    "  if t ~= 'none' and t ~= 'stream' then\n"
    "    return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' is a ' .. t .. ', not a "
    "stream') end end\n"
    "local counted = redis.call('HLEN', KEYS[3]) > 0\n"
    "local out, n = {}, tonumber(ARGV[8])\n"
    "local count, mine, done = #KEYS - 3 - n, {}, {}\n"
    "for k = 1, n do\n"
    "  mine[k], done[k] = {}, {}\n"
    "  local from = ARGV[7 + 2 * k]\n"
    "  local p = from ~= '' and redis.pcall('XPENDING', KEYS[3 + k], ARGV[1], from,\n"
    "    ARGV[8 + 2 * k], 2 * count, ARGV[2]) or {}\n"
    "  for i = 1, #p do mine[k][p[i][1]] = true end\n"
    "end\n"
    "local function letter(s, e, id, reason, verdict, attempt)\n"
    "  local f = {'id', id, 'reason', reason, 'verdict', verdict, 'attempts', attempt,\n"
    "    'host', ARGV[7], 'stream', s, 'entry', e}\n"
    "  local r = redis.call('XRANGE', s, e, e)\n"
    "  local v = r[1] and r[1][2] or {}\n"
    "  for i = 1, #v, 2 do if #f < 200 or v[i] == 't' then\n"
    "    f[#f + 1] = v[i]; f[#f + 1] = v[i + 1] end end\n"
    "  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], '*', unpack(f))\n"
    "end\n"
    "local function one(a, key)\n"
    "  local k, e, id = tonumber(ARGV[a]), ARGV[a + 1], ARGV[a + 2]\n"
    "  local attempt, verdict, digest = ARGV[a + 3], ARGV[a + 4], ARGV[a + 5]\n"
    "  local mode, reason, r = ARGV[a + 6], ARGV[a + 7], ARGV[a + 8]\n"
    "  local s = KEYS[3 + k]\n"
    "  if not mine[k][e] and not is_mine(s, e) then\n"
    "    local by = redis.call('HMGET', key, 'entry', 'by')\n"
    "    return by[1] == e and by[2] == ARGV[2] and 2 or 0\n"
    "  end\n"
    "  local had = mode ~= '2' and redis.call('HGET', key, 'digest')\n"
    "  if had and had ~= digest then\n"
    "    mode = '2'; verdict = 'rejected'; reason = \"id '\" .. id .. \"' was used for a "
    "different task\"\n"
    "    r = cmsgpack.pack({v = 1, id = id, attempt = tonumber(attempt), verdict = "
    "verdict,\n"
    "      blame = 'caller', error = {code = 'EEXIST', message = reason}, host = "
    "ARGV[7]})\n"
    "  end\n"
    "  if not had or mode == '2' then\n"
    "    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], '*', 'id', id, 'entry', e,\n"
    "      'verdict', verdict, 'attempt', attempt, 'r', r)\n"
    "    if mode ~= '2' then\n"
    "      redis.call('HSET', key, 'r', r, 'verdict', verdict, 'attempt', attempt,\n"
    "        'entry', e, 'by', ARGV[2], 'digest', digest)\n"
    "      redis.call('PEXPIRE', key, ARGV[3])\n"
    "    end\n"
    "    if mode ~= '0' then letter(s, e, id, reason, verdict, attempt) end\n"
    "    redis.call('PUBLISH', ARGV[6], id)\n"
    "  end\n"
    "  done[k][#done[k] + 1] = e\n"
    "  if counted then redis.call('HDEL', KEYS[3], s .. '/' .. e) end\n"
    "  return had and 3 or 1\n"
    "end\n"
    "for i = 1, count do\n"
    "  local ok, v = pcall(one, 2 * n + 9 * i, KEYS[3 + n + i])\n"
    "  if not ok and type(v) == 'table' then v = v.err end\n"
    "  out[i] = ok and v or tostring(v)\n"
    "end\n"
    "for k = 1, n do if done[k][1] then\n"
    "  redis.call('XACK', KEYS[3 + k], ARGV[1], unpack(done[k]))\n"
    "  redis.call('XDEL', KEYS[3 + k], unpack(done[k]))\n"
    "end end\n"
    "return out\n";

/*
 * KEYS stream, attempts, then the key of the result of each task; ARGV group, consumer, then of each task entry and digest.
 * Gives of each 1 if its result is out already, else 0. If it is, the entry goes.
 */
static const char known[] =
    LUA_IS_MINE "local out = {}\n"
                "for i = 3, #KEYS do\n"
                "  local e, had = ARGV[2 * i - 3], redis.pcall('HGET', KEYS[i], 'digest')\n"
                "  out[i - 2] = had == ARGV[2 * i - 2] and 1 or 0\n"
                "  if out[i - 2] == 1 and is_mine(KEYS[1], e) then\n"
                "    redis.call('XACK', KEYS[1], ARGV[1], e)\n"
                "    redis.call('XDEL', KEYS[1], e)\n"
                "    redis.call('HDEL', KEYS[2], KEYS[1] .. '/' .. e)\n"
                "  end\n"
                "end\n"
                "return out\n";

/*
 * KEYS stream; ARGV group, consumer, most strays to tell, then the entries that the host knows of.
 * Renews those that are still its own, in one step. Gives {those that are not, those it does not know, the
 * server's time in ms}.
 */
static const char renew[] =
    "local mine, from, keep, lost, strays = {}, '-', {}, {}, {}\n"
    "repeat\n"
    "  local p = redis.call('XPENDING', KEYS[1], ARGV[1], from, '+', 1000, ARGV[2])\n"
    "  for _, e in ipairs(p) do mine[e[1]] = true; from = '(' .. e[1] end\n"
    "until #p < 1000\n"
    "for i = 4, #ARGV do\n"
    "  if mine[ARGV[i]] then keep[#keep + 1] = ARGV[i]; mine[ARGV[i]] = nil\n"
    "  else lost[#lost + 1] = ARGV[i] end\n"
    "end\n"
    "for i = 1, #keep, 1000 do\n"
    "  local c = {unpack(keep, i, math.min(i + 999, #keep))}\n"
    "  c[#c + 1] = 'JUSTID'\n"
    "  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, unpack(c))\n"
    "end\n"
    "for id in pairs(mine) do\n"
    "  if #strays < tonumber(ARGV[3]) then strays[#strays + 1] = id end\n"
    "end\n"
    "table.sort(strays)\n"
    "local t = redis.call('TIME')\n"
    "return {lost, strays, t[1] * 1000 + math.floor(t[2] / 1000)}\n";

/* KEYS stream, attempts; ARGV group, consumer, entry, counts: what the next host has to know, if it is still ours to
 * tell. */
static const char counts[] =
    LUA_IS_MINE "if not is_mine(KEYS[1], ARGV[3]) then return 0 end\n"
                "return redis.call('HSET', KEYS[2], KEYS[1] .. '/' .. ARGV[3], ARGV[4])\n";

/* What is pending is given with its body, deliveries, and what attempts are on record for it. An entry that was
 * trimmed or deleted leaves the pending list. */
#define LUA_ENTRY                                                                     \
    "local function entry(id, count)\n"                                               \
    "  local e = redis.call('XRANGE', KEYS[1], id, id)\n"                             \
    "  if not e[1] then redis.call('XACK', KEYS[1], ARGV[1], id)\n"                   \
    "    redis.call('HDEL', KEYS[2], KEYS[1] .. '/' .. id); return {id, false} end\n" \
    "  local p = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)\n"               \
    "  if not p[1] or p[1][2] ~= ARGV[2] then return {id, false} end\n"               \
    "  local n = p[1][4]\n"                                                           \
    "  if count then n = n + 1\n"                                                     \
    "    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'RETRYCOUNT', n, "    \
    "'JUSTID')\n"                                                                     \
    "  end\n"                                                                         \
    "  return {id, e[1][2], n, redis.call('HGET', KEYS[2], KEYS[1] .. '/' .. id)}\n"  \
    "end\n"                                                                           \
    "local out = {}\n"

/* KEYS stream, attempts; ARGV group, consumer, 1 to count it as a delivery, entries. */
static const char fetch[] =
    LUA_ENTRY "for i = 4, #ARGV do out[#out + 1] = entry(ARGV[i], ARGV[3] == '1') end\n"
              "return out\n";

/* KEYS stream, attempts; ARGV group, consumer, lease in ms, cursor, count, when we renewed: entries whose lease is
 * over. Not if it comes late: then nobody could renew anything for a while. */
static const char sweep[] = LUA_ENTRY
    "local t = redis.call('TIME')\n"
    "if t[1] * 1000 + t[2] / 1000 - ARGV[6] > ARGV[3] / 2 then return {ARGV[4], out} end\n"
    "local c = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4],\n"
    "  'COUNT', ARGV[5], 'JUSTID')\n"
    "for _, id in ipairs(c[2]) do out[#out + 1] = entry(id, true) end\n"
    "return {c[1], out}\n";

/* KEYS stream, control; ARGV group, consumer, 1 for at once, entries. They may be taken at once, as if their lease
 * were over long since, and all hosts are told so; or, since nobody may have room, when a lease is over. */
static const char hand_back[] =
    "for i = 4, #ARGV do\n"
    "  local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)\n"
    "  if p[1] and p[1][2] == ARGV[2] then\n"
    "    redis.call('XCLAIM', KEYS[1], ARGV[1], 'handed-back', 0, ARGV[i], 'IDLE', ARGV[3] "
    "* 86400000,\n"
    "      'RETRYCOUNT', math.max(p[1][4] - 1, 0), 'JUSTID')\n"
    "  end\n"
    "end\n"
    "if ARGV[3] == '1' then redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, '*', 'sweep', "
    "ARGV[2]) end\n"
    "return 1\n";

/* KEYS streams, the first one first; ARGV group, consumer, count. Does not wait. */
static const char take[] =
    "local left, out = tonumber(ARGV[3]), {}\n"
    "for _, s in ipairs(KEYS) do if left > 0 then\n"
    "  local r = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', left, "
    "'STREAMS', s, '>')\n"
    "  if r and r[1] then left = left - #r[1][2]; out[#out + 1] = r[1] end\n"
    "end end\n"
    "return out\n";

/* KEYS stream; ARGV group, consumer, idle ms: forgets consumers that are long gone and hold nothing. */
static const char tidy[] =
    "local n = 0\n"
    "for _, c in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do\n"
    "  local v = {}\n"
    "  for i = 1, #c, 2 do v[c[i]] = c[i + 1] end\n"
    "  if v.pending == 0 and v.idle > tonumber(ARGV[3]) and v.name ~= ARGV[2] then\n"
    "    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], v.name); n = n + 1\n"
    "  end\n"
    "end\n"
    "return n\n";

/* KEYS dead; ARGV from, count: letters without the task. */
static const char letters[] =
    "local out = {}\n"
    "for _, e in ipairs(redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])) do\n"
    "  out[#out + 1] = {e[1], {unpack(e[2], 1, math.min(14, #e[2]))}}\n"
    "end\n"
    "return out\n";

/*
 * KEYS dead; ARGV 1 to requeue (0 to delete), id of task or letter ('': all), prefix of all keys, from, last
 * (at first '': what is there now, so that letters which come back meanwhile are not chased).
 * Looks at a hundred at a time. Gives {done, where to go on ('' at the end), last}.
 */
static const char move_letters[] =
    "local n, next = 0, ''\n"
    "local last = ARGV[5]\n"
    "if last == '' then\n"
    "  local e = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)\n"
    "  if not e[1] then return {0, '', ''} end\n"
    "  last = e[1][1]\n"
    "end\n"
    "local page = redis.call('XRANGE', KEYS[1], ARGV[4], last, 'COUNT', 100)\n"
    "for _, e in ipairs(page) do\n"
    "  next = '(' .. e[1]\n"
    "  local f, head = e[2], {}\n"
    "  for i = 1, math.min(14, #f), 2 do head[f[i]] = f[i + 1] end\n"
    "  if ARGV[2] == '' or e[1] == ARGV[2] or head.id == ARGV[2] then\n"
    "    local s = head.stream or ''\n"
    "    if string.sub(s, 1, #ARGV[3] + 5) ~= ARGV[3] .. 'tasks' then s = ARGV[3] .. "
    "'tasks' end\n"
    "    if ARGV[1] == '1' then\n"
    "      local a = {'again', '1'}\n"
    "      if head.id and head.id ~= '' then a[3] = 'id'; a[4] = head.id end\n"
    "      for i = 15, #f, 2 do if f[i] ~= 'id' and f[i] ~= 'again' then\n"
    "        a[#a + 1] = f[i]; a[#a + 1] = f[i + 1] end end\n"
    "      redis.call('XADD', s, '*', unpack(a))\n"
    "      if head.id then redis.call('DEL', ARGV[3] .. 'result:' .. head.id) end\n"
    "    end\n"
    "    redis.call('XDEL', KEYS[1], e[1])\n"
    "    n = n + 1\n"
    "  end\n"
    "end\n"
    "if #page < 100 then next = '' end\n"
    "return {n, next, last}\n";

static const char *const texts[SCRIPT_COUNT] = {
    [SCRIPT_PUBLISH] = publish,
    [SCRIPT_COUNTS] = counts,
    [SCRIPT_RENEW] = renew,
    [SCRIPT_FETCH] = fetch,
    [SCRIPT_SWEEP] = sweep,
    [SCRIPT_HAND_BACK] = hand_back,
    [SCRIPT_TAKE] = take,
    [SCRIPT_KNOWN] = known,
    [SCRIPT_TIDY] = tidy,
    [SCRIPT_LETTERS] = letters,
    [SCRIPT_MOVE_LETTERS] = move_letters,
};

void script_begin(struct cmd *c, enum script which, int keys)
{
    static char names[SCRIPT_COUNT][41];
    if (!names[which][0])
        sha1_hex(texts[which], strlen(texts[which]), names[which]);
    cmd_str(c, "EVALSHA");
    cmd_str(c, names[which]);
    cmd_int(c, keys);
}

void script_load(struct cmd *c, enum script which)
{
    cmd_words(c, "SCRIPT LOAD");
    cmd_str(c, texts[which]);
}
