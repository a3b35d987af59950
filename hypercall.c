/* SPDX-License-Identifier: MIT */
/*
 * hypercall.c - what every implementation of the hypervisor layer shares
 */
#include "hypercall.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const char *const status_names[] = {
	[-GNTST_okay] = "okay",
	[-GNTST_general_error] = "general_error",
	[-GNTST_bad_domain] = "bad_domain",
	[-GNTST_bad_gntref] = "bad_gntref",
	[-GNTST_bad_handle] = "bad_handle",
	[-GNTST_bad_virt_addr] = "bad_virt_addr",
	[-GNTST_bad_dev_addr] = "bad_dev_addr",
	[-GNTST_no_device_space] = "no_device_space",
	[-GNTST_permission_denied] = "permission_denied",
	[-GNTST_bad_page] = "bad_page",
	[-GNTST_bad_copy_arg] = "bad_copy_arg",
	[-GNTST_address_too_big] = "address_too_big",
	[-GNTST_eagain] = "eagain",
	[-GNTST_no_space] = "no_space",
};

#define STATUS_LOWEST (-(int)(sizeof(status_names) / sizeof(status_names[0])) + 1)

const char *hv_status_name(int status)
{
	if (status > 0 || status < STATUS_LOWEST)
		return "unknown";
	return status_names[-status];
}

int16_t hv_status_check(int status)
{
	if (status > 0 || status < STATUS_LOWEST)
		return GNTST_general_error;
	return (int16_t)status;
}

bool hv_platform_is_xen(void)
{
	int fd = open("/sys/hypervisor/type", O_RDONLY | O_CLOEXEC);
	char type[8];
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, type, sizeof(type));
	close(fd);
	return n >= 3 && !memcmp(type, "xen", 3) && (n == 3 || type[3] == '\n');
}
