/* SPDX-License-Identifier: MIT */
/*
 * control_show.c - show: one open, or one map, with its references and holders
 */
#include <errno.h>

#include "control_list.h"

int control_ask_show(struct control_request *rq, struct control_out *out,
		     struct control_answer **answer)
{
	(void)out;
	(void)answer;
	return control_refuse(rq, -EINVAL, "not yet");
}
