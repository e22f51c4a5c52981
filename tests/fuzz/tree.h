/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.h - a folder to be shared, among others that nobody may touch: what is
 * beside it stays as it is, whatever a guest asks for.
 */
#pragma once

#define TREE_SECRET "OUTSIDE-OF-THE-SHARE" /* in files beside the folder */
#define TREE_SHARED "in"                   /* the folder */

/* Files of this process cannot grow beyond file_max bytes from here on. */
void tree_up(unsigned file_max);
void tree_down(void);
/* Of something in the tree; until the next call. */
const char *tree_path(const char *name);
/* Fails unless everything beside the folder is as it was made. */
void tree_check(void);
