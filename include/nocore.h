/* A process with secrets in its memory: it leaves no core, and nobody but root may read it or trace it. */
#ifndef NOCORE_H
#define NOCORE_H

/* From now on, for this process and those that it forks. Neither a change of the user nor a program that is run keeps
 * that: to be called again then. What cannot be had is left as it is. */
void nocore(void);

#endif
