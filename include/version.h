/* The version of both programs, as --version, the agent parameter and the log say it. */
#ifndef VERSION_H
#define VERSION_H

#define GATEWAY_VERSION "0.1.0"

#endif
