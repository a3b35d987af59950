/* SPDX-License-Identifier: MIT */
/*
 * abi/version.h - the version that the programs of this package tell; debian/changelog has the same
 */
#ifndef ABI_VERSION_H
#define ABI_VERSION_H

#define VERSION "0.3"

#endif /* ABI_VERSION_H */
