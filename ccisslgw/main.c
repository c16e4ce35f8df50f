/* ccisslgw: passes connections on to other gateways; and its commands. */
#include "command.h"
#include "daemon.h"
#include "memwipe.h"
#include "nocore.h"

static const char usage[] =
    "ccisslgw: takes local clients and other gateways, and passes their connections\n"
    "on to peers by TLS.\n"
    "\n"
    "    ccisslgw -c FILE           run until SIGTERM; SIGHUP reads FILE again,\n"
    "                               SIGUSR2 hands over to a new process\n"
    "    ccisslgw -c FILE --check   name every error in FILE and in what it refers to\n"
    "    ccisslgw -c FILE --dump    print the configuration in force, keys explained\n"
    "    ccisslgw -c FILE --explain source=IP sysid=NAME [security=off] ...\n"
    "                               what becomes of such a connection, and which rule\n"
    "                               says so\n"
    "    ccisslgw connect HOST:PORT standard input and output by exchange and TLS\n"
    "    ccisslgw ping HOST:PORT    is a gateway there, and does it answer?\n"
    "    ccisslgw ratchet --help    the names that were secured: list them, lift one\n"
    "    ccisslgw report --help     who is secured, and who still comes in the clear\n"
    "    ccisslgw ctl --help        look at one that runs, and tell it what to do\n"
    "    ccisslgw verify --help     is a chained file of events whole?\n"
    "    ccisslgw --version\n"
    "    ccisslgw --help            also: connect --help, ping --help\n"
    "\n"
    "Exit status: 0 fine; 1 cannot start, or errors found; 2 bad usage; 3 ended by a\n"
    "second signal. Manual pages: ccisslgw(8), ccissl.ini(5).\n";

int main(int argc, char **argv)
{
	int status;

	nocore();
	(void)memwipe_prepare();
	if (command_run(argc, argv, &status))
		return status;
	return daemon_main(PROGRAM_CCISSLGW, usage, argc, argv);
}
