/* How many descriptors this process has. */
#ifndef TEST_DESCRIPTORS_H
#define TEST_DESCRIPTORS_H

#include <dirent.h>

/* The one that looks is among them. */
static inline int open_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(folder) != NULL)
		count++;
	(void)closedir(folder);
	return count;
}

#endif
