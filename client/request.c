/* SPDX-License-Identifier: MIT */
/*
 * client/request.c - the one place where requests are answered
 */
#include "client/request.h"

#include "base/log.h"

/* A second answer would go to another client's request, or end one twice: stop before that. */
static void answer_once(struct request *rq)
{
	if (!rq->answered) {
		rq->answered = true;
		return;
	}
	log_abort("a second answer to request %u, ioctl 0x%08x", (unsigned int)rq->kind, rq->cmd);
}

void request_done(struct request *rq, int result, const void *out, size_t len)
{
	answer_once(rq);
	/* Outside the errno range the kernel would take it for success with a strange value. */
	if (result < -4095 || len > rq->out_len)
		log_abort("result %d with %zu bytes of output to ioctl 0x%08x", result, len,
			  rq->cmd);
	rq->ops->done(rq, result, out, len);
}

void request_retry(struct request *rq, const struct iovec *in, size_t n_in, const struct iovec *out,
		   size_t n_out)
{
	answer_once(rq);
	rq->ops->retry(rq, in, n_in, out, n_out);
}

void request_wait_begin(struct request *rq)
{
	if (rq->ops->wait_begin)
		rq->ops->wait_begin(rq);
}

bool request_wait_end(struct request *rq)
{
	return !rq->ops->wait_end || rq->ops->wait_end(rq);
}

bool request_killed(struct request *rq)
{
	return rq->ops->killed && rq->ops->killed(rq);
}

struct request *request_sleep(struct request *rq)
{
	return rq->ops->sleep(rq);
}

bool request_again(struct request *rq, void (*fn)(void *arg, bool stopping), void *arg)
{
	return rq->ops->again(rq, fn, arg);
}
