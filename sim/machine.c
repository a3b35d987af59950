/* SPDX-License-Identifier: MIT */
/*
 * sim/machine.c - the simulated machine's memory
 *
 * The file is as large as the machine's memory and sparse: a frame takes space while somebody owns
 * it. It is allocated with fallocate(2) when it is given to a domain, so that a file system that is
 * full shows there, as -ENOMEM, and not later as SIGBUS in a client. Given up, it is punched out:
 * the next owner gets zeroes.
 *
 * Ownership is a word per frame:
 *
 *   bit 63: used | 62: given up, waits for its references | 61: being handed over
 *   | 32..47: owner | 0..31: references
 *
 * References are taken and dropped by compare-and-swap. Who makes a frame free (gives it up
 * without references, or drops the last one after that) is one thread, which then does so under
 * the lock.
 *
 * The words and the file last when the daemon is killed (sim/sim.c). The references in a word are counted anew by
 * whoever adopts them, so that one which has been given up is free then, if nothing refers to it: it is punched
 * out before its word becomes 0. Several frames are one domain's at once, with the word `handed`: as long as they are
 * marked as being handed over they are nobody's if it is 0, and their owner's if it is 1.
 */
#include "sim/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/step.h"

#define FRAME_USED	  (1ULL << 63)
#define FRAME_GIVEN_UP	  (1ULL << 62)
#define FRAME_HANDED	  (1ULL << 61)
#define FRAME_OWNER_SHIFT 32
#define FRAME_REFS	  0xffffffffULL

/* Frame words made at a time: 16 pages. */
#define FRAMES_STEP 8192ULL

static uint64_t owned_by(uint16_t domid)
{
	return FRAME_USED | (uint64_t)domid << FRAME_OWNER_SHIFT;
}

/* fallocate(2) in frames; a signal interrupts it on some file systems. Return: 0 or -errno. */
static int allocate(int fd, int mode, uint32_t frame, size_t n)
{
	int ret;

	do
		ret = fallocate(fd, mode, (off_t)frame << 12, (off_t)n << 12);
	while (ret && errno == EINTR);
	return ret ? -errno : 0;
}

static int punch(int fd, uint32_t frame, size_t n)
{
	return allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, frame, n);
}

static int open_file(struct machine *m, const char **why)
{
	int err;

	if (unlinkat(m->dirfd, MACHINE_FILE, 0) && errno != ENOENT) {
		*why = "cannot remove the old machine file from the window directory";
		return -errno;
	}
	m->fd = openat(m->dirfd, MACHINE_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (m->fd < 0) {
		*why = "cannot make the machine file in the window directory";
		return -errno;
	}
	if (ftruncate(m->fd, (off_t)(m->pages << 12))) {
		*why = "the window directory's file system takes no file as large as the machine";
		return -errno;
	}
	/* Nobody owns frame 0. */
	err = allocate(m->fd, 0, 0, 1);
	if (!err)
		err = punch(m->fd, 0, 1);
	if (err)
		*why = "the window directory's file system cannot allocate and punch pages of a "
		       "file: use a tmpfs";
	return err;
}

/* A client with a window can have cut the file short, but not put another one in its place. */
static int take_file(struct machine *m, const char **why)
{
	struct stat ours, named;

	*why = "the machine file that was left is not in the window directory any more";
	if (fstat(m->fd, &ours) || fstatat(m->dirfd, MACHINE_FILE, &named, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (!S_ISREG(ours.st_mode) || ours.st_dev != named.st_dev || ours.st_ino != named.st_ino)
		return -EINVAL;
	if ((uint64_t)ours.st_size < m->pages << 12 && ftruncate(m->fd, (off_t)(m->pages << 12)))
		return -errno;
	return 0;
}

static int map_memory(struct machine *m, const char **why)
{
	void *p;

	p = mmap(NULL, m->pages << 12, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, m->fd,
		 0);
	if (p == MAP_FAILED) {
		*why = "cannot map the machine's memory";
		return -errno;
	}
	m->memory = p;
	return 0;
}

int machine_init(struct machine *m, int dirfd, struct kept *kept, int fd, const char **why)
{
	int err;

	*m = (struct machine){ .dirfd = -1,
			       .fd = fd,
			       .kept = kept,
			       .frame = kept->frame,
			       .pages = kept->head->sizes.pages,
			       .lowest = 1,
			       .top = 1 };
	pthread_mutex_init(&m->lock, NULL);
	m->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	if (m->dirfd < 0) {
		*why = "the window directory is not open";
		err = -errno;
	} else {
		err = fd < 0 ? open_file(m, why) : take_file(m, why);
	}
	if (!err)
		err = map_memory(m, why);
	/* What was left stays also if it cannot be adopted. */
	if (err)
		machine_fini(m, fd >= 0);
	return err;
}

void machine_fini(struct machine *m, bool leave)
{
	if (m->memory)
		munmap(m->memory, m->pages << 12);
	if (m->fd >= 0) {
		if (!leave)
			unlinkat(m->dirfd, MACHINE_FILE, 0);
		close(m->fd);
	}
	if (m->dirfd >= 0)
		close(m->dirfd);
	pthread_mutex_destroy(&m->lock);
}

static bool is_free(const struct machine *m, uint64_t frame)
{
	return !__atomic_load_n(&m->frame[frame], __ATOMIC_RELAXED);
}

/* Under the lock. Return: the first of @n free frames in a row, or 0. */
static uint64_t find_run(const struct machine *m, size_t n)
{
	uint64_t start = m->lowest;

	for (uint64_t f = m->lowest; f < m->pages; f++) {
		if (!is_free(m, f))
			start = f + 1;
		else if (f + 1 - start == n)
			return start;
		/* Everything from the top on is free: no need to look. */
		if (f >= m->top && m->pages - start >= n)
			return start;
	}
	return 0;
}

/* Under the lock, with at least @n frames free: in ascending order. */
static void choose(struct machine *m, size_t n, uint32_t *frames)
{
	uint64_t f;
	size_t i = 0;

	while (!is_free(m, m->lowest))
		m->lowest++;
	f = find_run(m, n);
	if (f) {
		for (; i < n; i++)
			frames[i] = (uint32_t)(f + i);
		return;
	}
	for (f = m->lowest; i < n; f++)
		if (is_free(m, f))
			frames[i++] = (uint32_t)f;
}

static size_t run_length(const uint32_t *frames, size_t n)
{
	size_t k = 1;

	while (k < n && frames[k] == frames[0] + k)
		k++;
	return k;
}

/* Have the file system allocate all frames, or none. */
static int populate(struct machine *m, const uint32_t *frames, size_t n)
{
	size_t done = 0, run;
	int err;

	while (done < n) {
		run = run_length(frames + done, n - done);
		err = allocate(m->fd, 0, frames[done], run);
		if (err) {
			/* Part of the failing run may be there, too. Nothing was written yet. */
			punch(m->fd, frames[done], run);
			while (done--)
				punch(m->fd, frames[done], 1);
			return err == -ENOSPC ? -ENOMEM : err;
		}
		done += run;
	}
	return 0;
}

/* Under the lock: have memory for the words of all frames up to @last. */
static int make_words(struct machine *m, uint64_t last)
{
	uint64_t made = m->kept->head->frames_made, to = (last / FRAMES_STEP + 1) * FRAMES_STEP;
	int err;

	if (last < made)
		return 0;
	to = to < m->pages ? to : m->pages;
	err = kept_make(m->frame + made, (to - made) * sizeof(*m->frame));
	if (!err)
		KEEP(m->kept->head->frames_made, to);
	return err;
}

/* Under the lock: the frames are allocated in the file. */
static void hand_over(struct machine *m, uint16_t domid, const uint32_t *frames, size_t n)
{
	for (size_t i = 0; i < n; i++)
		KEEP(m->frame[frames[i]], owned_by(domid) | FRAME_HANDED);
	step(sim_frames_chosen);
	KEEP(m->kept->head->handed, 1);
	step(sim_frames_handed);
	for (size_t i = 0; i < n; i++)
		KEEP(m->frame[frames[i]], owned_by(domid));
	KEEP(m->kept->head->handed, 0);
	m->in_use += n;
	if (frames[n - 1] >= m->top)
		m->top = (uint64_t)frames[n - 1] + 1;
}

int machine_alloc(struct machine *m, uint16_t domid, size_t n, uint32_t *frames)
{
	int err = -ENOMEM;

	pthread_mutex_lock(&m->lock);
	if (!m->off && n <= m->pages - 1 - m->in_use) {
		choose(m, n, frames);
		err = make_words(m, frames[n - 1]);
		if (!err)
			err = populate(m, frames, n);
		if (!err)
			hand_over(m, domid, frames, n);
	}
	pthread_mutex_unlock(&m->lock);
	return err;
}

bool machine_read(struct machine *m, uint64_t frame, uint32_t offset, void *buf, size_t len)
{
	return pread(m->fd, buf, len, (off_t)((frame << 12) + offset)) == (ssize_t)len;
}

bool machine_write(struct machine *m, uint64_t frame, uint32_t offset, const void *buf, size_t len)
{
	return pwrite(m->fd, buf, len, (off_t)((frame << 12) + offset)) == (ssize_t)len;
}

/* Nobody owns or uses the frame any more. */
static void release(struct machine *m, uint32_t frame)
{
	static const uint8_t zeroes[4096];

	pthread_mutex_lock(&m->lock);
	/* If it cannot be punched out it takes space, but the next owner gets zeroes all the same. */
	if (!m->off && punch(m->fd, frame, 1))
		machine_write(m, frame, 0, zeroes, sizeof(zeroes));
	step(sim_frame_wiped);
	KEEP(m->frame[frame], 0);
	m->in_use--;
	if (frame < m->lowest)
		m->lowest = frame;
	pthread_mutex_unlock(&m->lock);
}

void machine_off(struct machine *m)
{
	pthread_mutex_lock(&m->lock);
	m->off = true;
	pthread_mutex_unlock(&m->lock);
}

int machine_free(struct machine *m, uint16_t domid, uint32_t frame)
{
	uint64_t old;

	if (frame >= m->pages)
		return -EINVAL;
	old = __atomic_load_n(&m->frame[frame], __ATOMIC_RELAXED);
	do {
		if ((old & ~FRAME_REFS) != owned_by(domid))
			return -EINVAL;
	} while (!__atomic_compare_exchange_n(&m->frame[frame], &old, old | FRAME_GIVEN_UP, false,
					      __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	step(sim_frame_given_up);
	if (!(old & FRAME_REFS))
		release(m, frame);
	return 0;
}

void machine_free_all(struct machine *m, uint16_t domid)
{
	uint64_t top;

	pthread_mutex_lock(&m->lock);
	top = m->top;
	pthread_mutex_unlock(&m->lock);
	for (uint64_t f = 1; f < top; f++)
		machine_free(m, domid, (uint32_t)f);
}

uint32_t machine_next(struct machine *m, uint16_t domid, uint64_t frame)
{
	uint64_t top;

	pthread_mutex_lock(&m->lock);
	top = m->top;
	pthread_mutex_unlock(&m->lock);
	for (; frame < top; frame++)
		if (machine_owns(m, domid, (uint32_t)frame))
			return (uint32_t)frame;
	return 0;
}

bool machine_owns(struct machine *m, uint16_t domid, uint32_t frame)
{
	return frame < m->pages && (__atomic_load_n(&m->frame[frame], __ATOMIC_ACQUIRE) &
				    ~FRAME_REFS) == owned_by(domid);
}

bool machine_get(struct machine *m, uint16_t domid, uint32_t frame)
{
	uint64_t old;

	if (frame >= m->pages)
		return false;
	old = __atomic_load_n(&m->frame[frame], __ATOMIC_RELAXED);
	do {
		if ((old & ~FRAME_REFS) != owned_by(domid))
			return false;
	} while (!__atomic_compare_exchange_n(&m->frame[frame], &old, old + 1, false,
					      __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	return true;
}

void machine_put(struct machine *m, uint32_t frame)
{
	uint64_t word = __atomic_sub_fetch(&m->frame[frame], 1, __ATOMIC_ACQ_REL);

	if ((word & FRAME_GIVEN_UP) && !(word & FRAME_REFS))
		release(m, frame);
}

int machine_window(struct machine *m, int dirfd, const char *name, bool readonly)
{
	int fd, err = 0;

	if (linkat(m->dirfd, MACHINE_FILE, dirfd, name, 0))
		return -errno;
	fd = openat(dirfd, name, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (fd < 0)
		err = -errno;
	if (unlinkat(dirfd, name, 0) && !err)
		err = -errno;
	if (err && fd >= 0)
		close(fd);
	return err ? err : fd;
}

uint64_t machine_in_use(struct machine *m)
{
	uint64_t n;

	pthread_mutex_lock(&m->lock);
	n = m->in_use;
	pthread_mutex_unlock(&m->lock);
	return n;
}

/* --- adoption: nothing else runs ---------------------------------------------------------------- */

static uint64_t made(const struct machine *m)
{
	return m->kept->head->frames_made;
}

int machine_check(const struct machine *m)
{
	const uint64_t known = FRAME_USED | FRAME_GIVEN_UP | FRAME_HANDED | FRAME_REFS |
			       0xffffULL << FRAME_OWNER_SHIFT;

	for (uint64_t f = 0; f < made(m); f++) {
		uint64_t word = m->frame[f];
		uint16_t owner = (uint16_t)(word >> FRAME_OWNER_SHIFT);

		if (!word)
			continue;
		if (!f || !(word & FRAME_USED) || (word & ~known) || owner > SIM_DOMID_MAX)
			return -EINVAL;
		/* What was given up may outlive its owner for a moment. */
		if (!(word & FRAME_GIVEN_UP) && m->kept->domain[owner].state == SIM_DOMAIN_ABSENT)
			return -EINVAL;
	}
	return 0;
}

bool machine_was_owned(const struct machine *m, uint16_t domid, uint32_t frame)
{
	return frame < made(m) &&
	       (m->frame[frame] & ~(FRAME_REFS | FRAME_GIVEN_UP)) == owned_by(domid);
}

void machine_forget(struct machine *m)
{
	bool handed = m->kept->head->handed;

	for (uint64_t f = 1; f < made(m); f++) {
		uint64_t word = m->frame[f] & ~FRAME_REFS;

		if (word & FRAME_HANDED)
			word = (word & ~FRAME_HANDED) | (handed ? 0 : FRAME_GIVEN_UP);
		KEEP(m->frame[f], word);
	}
	KEEP(m->kept->head->handed, 0);
}

void machine_reget(struct machine *m, uint32_t frame)
{
	m->frame[frame]++;
}

void machine_recount(struct machine *m)
{
	for (uint64_t f = 1; f < made(m); f++) {
		if (!m->frame[f])
			continue;
		m->in_use++;
		m->top = f + 1;
	}
	for (uint64_t f = 1; f < m->top; f++)
		if ((m->frame[f] & FRAME_GIVEN_UP) && !(m->frame[f] & FRAME_REFS))
			release(m, (uint32_t)f);
}
