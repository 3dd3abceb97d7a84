/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The frames between the roles (over RUN_DIR/host.sock) and between berth(1) and the host (over
 * RUN_DIR/ctl.sock). Bodies are msgpack maps; unknown keys are ignored, so that additions need no new version.
 */
#ifndef WIRE_FRAMES_H
#define WIRE_FRAMES_H

enum frame {
    /* worker -> host */
    FRAME_WORKER_HELLO = 1,  /* {runtime, pid, plugin, version, started_ms, attempts: [{id, attempt, pid}]} */
    FRAME_WORKER_PROBE = 2,  /* {ok, error?, version, detail, enforce: {memory: "cgroup1"|"no"|..., ...}} */
    FRAME_WORKER_GONE = 3,   /* {id, attempt, status}: a supervisor of mine ended without confirmation;
                                its payload is dead and its cgroup empty */
    FRAME_WORKER_SWEPT = 4,  /* {id, attempt, ok, error?}: answer to SWEEP */
    FRAME_WORKER_REFUSED = 5, /* {id, attempt, verdict, blame, code, message}: RUN failed before it was begun;
                                 nothing is left. Also from an idle supervisor */

    FRAME_WORKER_DONE = 6,   /* {id, attempt, result: map}: answered by the plugin, without a supervisor. Told once */

    /* host -> worker */
    FRAME_RUN = 16,          /* {id, attempt, slot, gpus: [str], queued_ms, failures, losses, transport, task: bin}. Also to an
                                idle supervisor of that slot, which says no hello again */
    FRAME_SWEEP = 17,        /* {id, attempt, slot}: its supervisor is dead: kill and remove what is left of it */
    FRAME_SWEEP_OTHERS = 18, /* {keep: [{id, attempt}]}: remove every dead attempt directory not in the list */

    /* supervisor -> host */
    FRAME_TASK_HELLO = 32,   /* {v, id, attempt, pid, runtime, slot, gpus, state: starting|running|done,
                                queued_ms, failures, losses, transport, started_ms, task: bin} first frame after each connect */
    FRAME_TASK_STARTED = 33, /* {id, attempt, started_ms, payload_pid}; not of one that is over at once */
    FRAME_TASK_DONE = 34,    /* {id, attempt, result: map, again: bool}: see DESIGN, Formats; repeated after each
                                reconnect until confirmed. again: it could take another RUN */

    /* host -> supervisor */
    FRAME_TASK_CANCEL = 48,  /* {id, attempt, verdict: cancelled|timeout|preempted, grace_ms (-1: the plan's)} */
    FRAME_TASK_CONFIRM = 49, /* {id, attempt, stay: bool}: the result is durable; clean up, and exit or stay for
                                another RUN, until this connection ends */

    /* berth(1) -> host. Each request may be answered by several frames; one request at a time. */
    FRAME_CTL_SUBMIT = 64,   /* {task: map, wait: bool} -> REPLY {id, state} when durable;
                                with wait then EVENT* and RESULT */
    FRAME_CTL_QUERY = 65,    /* {what, id, state, tenant, executer, cursor, limit, deadline_ms} -> REPLY */
    FRAME_CTL_LOGS = 66,     /* {id, stream: 1|2, offset, follow} -> DATA*, END */
    FRAME_CTL_EVENTS = 67,   /* {id?} -> EVENT* until the caller closes */
    FRAME_CTL_RELOAD = 68,   /* {} -> REPLY {ok: true, restarting: true} or ERROR with the config's fault */
    FRAME_CTL_STOP = 69,     /* {} -> REPLY {ok: true}: the daemon stops; running payloads go on */

    FRAME_CTL_DEAD = 70,     /* {op: list|requeue|purge, transport?, id?, cursor?, limit?} -> REPLY: see
                                enum berth_dead_op */

    /* host -> berth(1) */
    FRAME_CTL_REPLY = 80,    /* the answer, a map; metrics: {text} */
    FRAME_CTL_ERROR = 81,    /* {code (errno), name ("ENOENT"), message} */
    FRAME_CTL_EVENT = 82,    /* {ms, id, event: queued|starting|started|retry|done|cancel..., attempt, executer,
                                runtime, tenant, verdict?, blame?, message?} */
    FRAME_CTL_RESULT = 83,   /* the result map */
    FRAME_CTL_DATA = 84,     /* {offset, data: bin} */
    FRAME_CTL_END = 85       /* {offset} */
};

#endif
