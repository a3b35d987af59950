/* SPDX-License-Identifier: MIT */
/*
 * replay.c - run a fuzzer's function over files, without the fuzzer
 *
 * Linked with tests/fuzz/fuzz_NAME.c it runs what make fuzz has found worth keeping, with any compiler. An
 * input that is a fault ends the program, and its name is the last one printed.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *name)
{
	FILE *f = fopen(name, "rb");
	struct stat st;
	uint8_t *data;
	size_t size;

	if (!f || fstat(fileno(f), &st)) {
		perror(name);
		return 1;
	}
	/* Of exactly its size, so that a byte too many is seen. */
	size = (size_t)st.st_size;
	data = malloc(size);
	if (fread(data, 1, size, f) != size) {
		perror(name);
		return 1;
	}
	fclose(f);
	printf("%s\n", name);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	int failed = argc < 2;

	for (int i = 1; i < argc; i++)
		failed |= replay(argv[i]);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
