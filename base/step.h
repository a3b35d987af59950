/* SPDX-License-Identifier: MIT */
/*
 * base/step.h - the steps between which a kill must lose nothing
 *
 * A step has a name, and stands where something has just become lasting, or is about to. In the ordinary build it is nothing.
 * The daemon that tests kill is built with -DKILL_STEPS: there a step counts, and kills the process when its turn has come.
 */
#ifndef BASE_STEP_H
#define BASE_STEP_H

/*
 * All of them: a test walks through this list, and a name that is not in it does not compile. X(NAME, what has just happened)
 */
#define STEPS_ALL(X)                                                                \
	X(recv_spliced, "a request has left the kernel's queue and is in the pipe") \
	X(recv_read, "it is in its slot")                                           \
	X(answer_stored, "the answer is in the slot, which does not say so yet")    \
	X(answer_done, "the slot says so, and nothing has been written")            \
	X(answer_written, "the answer was written, the slot still holds it")

enum step {
#define STEP_ENUM(name, what) STEP_##name,
	STEPS_ALL(STEP_ENUM)
#undef STEP_ENUM
		STEPS_N
};

#ifdef KILL_STEPS
/** step_reached() - count a step; does not return if the process is to die here. Any thread */
void step_reached(enum step s);
#define step(name) step_reached(STEP_##name)
#else
#define step(name) ((void)STEP_##name)
#endif

#endif /* BASE_STEP_H */
