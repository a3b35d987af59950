/* SPDX-License-Identifier: MIT */
/*
 * base/step.h - the steps between which a kill must lose nothing
 *
 * A step has a name, and stands where something has just become lasting, or is about to. In the ordinary build it is nothing.
 * The daemon that tests kill is built with -DKILL_STEPS: there a step counts, and kills the process when its turn has come.
 */
#ifndef BASE_STEP_H
#define BASE_STEP_H

#include <assert.h>
#include <stdint.h>

/*
 * All of them: a test walks through this list, and a name that is not in it does not compile. X(NAME, what has just happened)
 */
#define STEPS_ALL(X)                                                                   \
	X(recv_spliced, "a request has left the kernel's queue and is in the pipe")    \
	X(recv_read, "it is in its slot")                                              \
	X(answer_stored, "the answer is in the slot, which does not say so yet")       \
	X(answer_done, "the slot says so, and nothing has been written")               \
	X(answer_written, "the answer was written, the slot still holds it")           \
	X(left_received, "what was in the pipe and the slot is whole, in the slot")    \
	X(left_answered, "an answer was sent again, the slot still holds it")          \
	X(left_begun, "a request is about to be carried out again")                    \
	X(window_recorded, "a window has its record, and has not been opened")         \
	X(window_live, "it has been opened, and only we have it")                      \
	X(window_sending, "its record says that the client may have it")               \
	X(window_replied, "the reply has been sent, its record does not say so")       \
	X(window_sent, "it says so")                                                   \
	X(window_delivered, "the client has received it, and its record says so")      \
	X(events_read, "events have left the kernel's queue, none has been handled")   \
	X(event_handled, "one has been handled, and is still in hand")                 \
	X(events_done, "all have been handled, and are forgotten")                     \
	X(window_ended, "the record of a window says that nobody has it any more")     \
	X(window_gone, "its user has been told, and its record is still there")        \
	X(sim_mapped, "a grant is pinned and its handle live, nobody knows of it")     \
	X(sim_untracked, "a handle has ended, its pin has not")                        \
	X(sim_grant_begun, "a reference is taken, its entry is not written")           \
	X(sim_granted, "its entry is written, the reference is not settled")           \
	X(sim_grant_ending, "a grant is to end")                                       \
	X(sim_grant_ended, "its entry and its frame are free, its reference is not")   \
	X(sim_frames_chosen, "frames are marked for a domain")                         \
	X(sim_frames_handed, "they are the domain's, and still marked")                \
	X(sim_frame_given_up, "a frame has been given up and is not free")             \
	X(sim_frame_wiped, "its page is wiped, it is not free")                        \
	X(sim_domain_dying, "a domain has been removed and still has all it had")      \
	X(sim_domain_gone, "it is gone, its tables are not wiped")                     \
	X(sim_event_waits, "an event waits at a port, its domain has not been called") \
	X(sim_channel_half, "a port is bound to another one, which is not to it")      \
	X(sim_channel_parted, "the other end of a channel is unbound, this one bound") \
	X(evtchn_open_recorded, "an open of evtchn has its record, nobody knows")      \
	X(evtchn_open_ended, "its record has ended, its ports are bound")              \
	X(evtchn_port_bound, "a port is bound, and has no record")                     \
	X(evtchn_port_recorded, "it has one, nothing has been delivered to it")        \
	X(evtchn_port_ended, "its record has ended, it is bound")                      \
	X(evtchn_unbind_begun, "the request knows that the port is there, it is")      \
	X(evtchn_ring_made, "an open has two rings, the old one counts")               \
	X(evtchn_appended, "an event is in the ring, its port not masked")             \
	X(evtchn_masked, "it is masked, and an event waits there")                     \
	X(evtchn_answered, "a read is answered, the ring still has it")                \
	X(alloc_open_recorded, "an open of gntalloc has its record, nobody knows")     \
	X(alloc_retired, "it is found no more, its record is still there")             \
	X(alloc_released, "its record has ended, its pages are still there")           \
	X(alloc_begun, "the request knows its index, there is no page")                \
	X(page_frames, "pages have their frames, and are not granted")                 \
	X(page_granted, "a page is granted, and has no record")                        \
	X(page_recorded, "it has its record, others of the request have none")         \
	X(dealloc_begun, "the request knows that its pages are there, they still are") \
	X(page_unlisted, "a page is its open's no more")                               \
	X(page_notified, "the notification of a page was fired, it is not noted")      \
	X(page_ended, "its record has ended, its grant has not")                       \
	X(open_recorded, "an open has its record, and has not been answered")          \
	X(open_emptied, "an open is closed, its maps are ended, its record is there")  \
	X(open_closed, "the record of an open has ended, its release is not answered") \
	X(map_prepared, "the record of a map is filled in, and does not last")         \
	X(map_recorded, "it lasts, and the map is not listed")                         \
	X(map_listed, "it is listed, its index not answered")                          \
	X(map_ended, "the record says who has unlisted the map, which is listed")      \
	X(map_unlisted, "it is unlisted, not answered")                                \
	X(map_called, "the grants are mapped, and nobody has noted that")              \
	X(map_noted, "it is noted, the map is still fresh")                            \
	X(map_mapped, "the map is mapped, its window not sent")                        \
	X(map_answered, "its window has been sent")                                    \
	X(map_unusable, "the map cannot be mapped any more, its client not told")      \
	X(notify_noted, "a notification is set, not answered")                         \
	X(release_begun, "the window is gone, and the map being released")             \
	X(byte_cleared, "its byte is cleared, the grants are mapped")                  \
	X(release_called, "the grants are unmapped, and nobody has noted that")        \
	X(map_released, "it is noted")                                                 \
	X(mmap_undone, "an mmap is undone, its grants are still mapped")               \
	X(event_sent, "a dead map's event has been sent")                              \
	X(map_finished, "the map is finished with")                                    \
	X(copy_written, "a batch of GRANT_COPY is written back, not noted")            \
	X(copy_noted, "it is noted")

enum step {
#define STEP_ENUM(name, what) STEP_##name,
	STEPS_ALL(STEP_ENUM)
#undef STEP_ENUM
		STEPS_N
};

/**
 * struct step_orders - in the file that $GNTDEV_STEPS names: a test tells the daemon when to die, and sees how far it came
 * @die_at: enum step, and one more; 0: nowhere
 * @die_in: how many times that step is still to be reached
 * @reached: how often each was
 */
struct step_orders {
	uint32_t die_at;
	uint32_t die_in;
	uint64_t reached[128];
};

static_assert(STEPS_N <= 128, "each step has its number");

#ifdef KILL_STEPS
/** step_reached() - count a step; does not return if the process is to die here. Any thread */
void step_reached(enum step s);
#define step(name) step_reached(STEP_##name)
#else
#define step(name) ((void)STEP_##name)
#endif

#endif /* BASE_STEP_H */
