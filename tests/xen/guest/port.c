/* SPDX-License-Identifier: MIT */
/*
 * port NUMBER - standard input goes to an I/O port, where QEMU's debug console takes it
 *
 * The serial line belongs to Xen, which writes its own messages into the middle of a line of
 * dom0's. This way out of dom0 is nobody else's: what goes in comes out, binary too.
 */
#include <err.h>
#include <stdlib.h>
#include <sys/io.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	unsigned short port = argc == 2 ? (unsigned short)strtoul(argv[1], NULL, 0) : 0;
	char buf[4096];
	ssize_t n;

	if (!port)
		errx(2, "usage: port NUMBER");
	if (ioperm(port, 1, 1))
		err(1, "port %#x", port);
	while ((n = read(STDIN_FILENO, buf, sizeof(buf))) > 0)
		outsb(port, buf, (unsigned long)n);
	return n < 0;
}
