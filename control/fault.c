/* SPDX-License-Identifier: MIT */
/*
 * control/fault.c - the simulator's faults, while it runs: add some, forget them, let go on what waits
 */
#include <errno.h>

#include "control/request.h"
#include "sim/fault.h"
#include "sim/sim.h"

/* What one request may ask for; nothing: only the list. */
struct wish {
	char add[FAULT_SPEC_MAX + 1];
	bool has_add;
	bool clear;
	bool release;
};

static bool take_wish(struct control_request *rq, struct wish *w)
{
	if (!control_string(rq, "add", w->add, sizeof(w->add), &w->has_add) ||
	    !control_flag(rq, "clear", &w->clear) || !control_flag(rq, "release", &w->release) ||
	    !control_done(rq))
		return false;
	if (w->has_add + w->clear + w->release > 1) {
		control_refuse(rq, -EINVAL, "fault: \"add\", \"clear\", \"release\": one of them");
		return false;
	}
	return true;
}

static void write_fault(const char *spec, void *arg)
{
	control_out_json(arg, "fault", json_pack("{s:o}", "spec", control_text(spec)));
}

int control_ask_fault(struct control_request *rq, struct control_out *out,
		      struct control_answer **answer)
{
	struct sim *sim = rq->view->sim;
	unsigned int released = 0;
	struct wish w = { 0 };
	const char *why;
	int err;

	(void)answer;
	if (!take_wish(rq, &w))
		return -EINVAL;
	if (!sim)
		return control_refuse(rq, -EOPNOTSUPP,
				      "fault: this is a real Xen: only the simulator has faults on "
				      "demand");
	err = w.has_add ? sim_fault_add(sim, w.add, &why) : 0;
	if (err)
		return control_refuse(rq, err, "%s", why);
	if (w.clear)
		sim_fault_clear(sim);
	if (w.release)
		released = sim_fault_release(sim);
	sim_fault_for_each(sim, write_fault, out);
	control_out_json(out, "end",
			 json_pack("{s:I, s:I}", "waiting", (json_int_t)sim_fault_waiting(sim),
				   "released", (json_int_t)released));
	return 0;
}
