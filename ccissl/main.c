/* ccissl: takes clients, and relays them to services. */
#include "daemon.h"
#include "memwipe.h"
#include "nocore.h"

static const char usage[] =
    "ccissl: takes CCI clients, in the clear or by TLS as both sides agree, and\n"
    "relays them to services.\n"
    "\n"
    "    ccissl -c FILE           run until SIGTERM; SIGHUP reads FILE again,\n"
    "                             SIGUSR2 hands over to a new process\n"
    "    ccissl -c FILE --check   name every error in FILE and in what it refers to\n"
    "    ccissl -c FILE --dump    print the configuration in force, keys explained\n"
    "    ccissl -c FILE --explain source=IP sysid=NAME [security=off] ...\n"
    "                             what becomes of such a connection, and which rule\n"
    "                             says so\n"
    "    ccissl ratchet --help    the names that were secured: list them, lift one\n"
    "    ccissl report --help     who is secured, and who still comes in the clear\n"
    "    ccissl ctl --help        look at one that runs, and tell it what to do\n"
    "    ccissl verify --help     is a chained file of events whole?\n"
    "    ccissl --version\n"
    "    ccissl --help\n"
    "\n"
    "Exit status: 0 fine; 1 cannot start, or errors found; 2 bad usage; 3 ended by a\n"
    "second signal. Manual pages: ccissl(8), ccissl.ini(5).\n";

int main(int argc, char **argv)
{
	nocore();
	(void)memwipe_prepare();
	return daemon_main(PROGRAM_CCISSL, usage, argc, argv);
}
