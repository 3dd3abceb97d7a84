/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Answers: the plain ones, and errors as problem details (RFC 9457). */
#ifndef HTTP_PROBLEM_H
#define HTTP_PROBLEM_H

#include "http.h"

enum http_problem {
    HTTP_BAD_REQUEST,
    HTTP_BAD_PARAMETER,
    HTTP_INVALID_TASK,
    HTTP_UNAUTHORIZED,
    HTTP_FORBIDDEN,
    HTTP_NO_ROUTE,
    HTTP_NOT_FOUND,
    HTTP_METHOD_NOT_ALLOWED,
    HTTP_NOT_ACCEPTABLE,
    HTTP_NOT_DONE,
    HTTP_ALREADY_DONE,
    HTTP_CONFLICT,
    HTTP_LENGTH_REQUIRED,
    HTTP_TOO_LARGE,
    HTTP_UNSUPPORTED_MEDIA_TYPE,
    HTTP_MISDIRECTED,
    HTTP_UNKNOWN_EXECUTER,
    HTTP_UNMET_REQUIREMENT,
    HTTP_HEAD_TOO_LARGE,
    HTTP_INTERNAL,
    HTTP_NOT_READY,
    HTTP_DRAINING,
    HTTP_OVERLOADED,
    HTTP_NO_SPACE
};

/* Appends a header field; one more than HTTP_FIELD_MAX is dropped. */
__attribute__((format(printf, 3, 4))) void
http_field(struct http_exchange *x, const char *name, const char *format, ...);
/* Answers with a body that is moved out of *take_body (which may be x->answer). */
void http_answer(struct http_exchange *x, unsigned status, const char *type,
                 struct http_buf *take_body);
/* Answers with a problem. */
__attribute__((format(printf, 3, 4))) void
http_problem(struct http_exchange *x, enum http_problem problem, const char *format, ...);
/* The same with one more member, whose value is len bytes of JSON. */
void http_problem_with(struct http_exchange *x, enum http_problem problem,
                       const char *detail, const char *member, const void *json,
                       size_t len);
/* What a failed question to the host, or the refusal of a task, is to the client. */
enum http_problem http_problem_of_query(int code);
enum http_problem http_problem_of_refusal(int code);

#endif
