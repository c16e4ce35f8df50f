# Completion of ccissl and ccisslgw for bash: options, commands, files, and the words of --explain, for which the names of
# listeners and targets are read from the file behind -c.

# The names of these sections in the configuration on the command line.
_ccissl_names() { # kinds of section, separated by |
	local i file=
	for ((i = 1; i < ${#COMP_WORDS[@]} - 1; i++)); do
		[[ ${COMP_WORDS[i]} == -c || ${COMP_WORDS[i]} == --config ]] && file=${COMP_WORDS[i + 1]}
	done
	file=${file/#\~/$HOME}
	[[ -r $file && ! -d $file ]] && sed -nE "s/^\[($1)[ \t]+([^] \t]+)[ \t]*\].*/\2/p" "$file"
}

_ccissl_explain() { # word before the equals sign, value so far
	case $1 in
	security) compgen -W 'none off on required direct' -- "$2" ;;
	tls) compgen -W '1.2 1.3' -- "$2" ;;
	ratcheted | secured) compgen -W 'yes no' -- "$2" ;;
	listener) compgen -W "$(_ccissl_names listener)" -- "$2" ;;
	rule) compgen -W "$(_ccissl_names rule)" -- "$2" ;;
	to) compgen -W "$(_ccissl_names 'service|peer')" -- "$2" ;;
	target) compgen -W "*PING $(_ccissl_names 'service|peer')" -- "$2" ;;
	source) compgen -W 'unix' -- "$2" ;;
	identity) compgen -W 'DNS: URI: EMAIL: IP: CN:' -- "$2" ;;
	esac
}

# Commands of ccisslgw that connect.
_ccissl_command() { # command, word before, word so far
	local options='--sysid --security --ca --cert --key --server-name --timeout --help'
	[[ $1 == connect ]] && options+=' --target --quiet'
	[[ $1 == ping ]] && options+=' --count --interval'
	case $2 in
	--ca | --cert | --key) compgen -f -- "$3" ;;
	--security) compgen -W 'none off on required direct' -- "$3" ;;
	--sysid | --target | --server-name | --timeout | --count | --interval) ;;
	*) if [[ $3 == -* ]]; then compgen -W "$options" -- "$3"; else compgen -A hostname -S : -- "$3"; fi ;;
	esac
}

# What ratchet takes, of both programs.
_ccissl_ratchet() { # word so far
	local options='-c --config list lift --help' so_far=" ${COMP_WORDS[*]:1:COMP_CWORD-1} "
	[[ $so_far == *' list '* ]] && options='--json'
	[[ $so_far == *' lift '* ]] && options='--peer'
	[[ $1 == --* ]] && options+=' --json --peer'
	compgen -W "$options" -- "$1"
}

# What report and verify take, of both programs; and files.
_ccissl_report() { # word before, word so far
	local options='--names --json --csv --help'
	[[ ${COMP_WORDS[1]} == report ]] || options='--json --expect --help'
	[[ $1 != --expect ]] || return
	if [[ $2 == -* ]]; then compgen -W "$options" -- "$2"; else compgen -f -- "$2"; fi
}

# What ctl takes; the verbs are those of the program itself.
_ccissl_ctl() { # word before, word so far
	local options='-c --config --socket --json --help' so_far=" ${COMP_WORDS[*]:1:COMP_CWORD-1} " verbs verb
	verbs=$("${COMP_WORDS[0]}" ctl --help 2>/dev/null | sed -nE 's/^    ([a-z-]+) .*/\1/p' | grep -vxE 'ccissl|ccisslgw')
	for verb in $verbs; do [[ $so_far == *" $verb "* ]] && break; done
	if [[ $2 == -* ]]; then
		[[ $so_far != *' ratchet '* ]] || options+=' --peer'
		[[ ${verb:-} != report && $so_far == *" ${verb:-?} "* ]] || options+=' --names --csv'
		[[ $so_far == *' -c '* || $so_far == *' --config '* ]] && options=${options/-c --config/}
		compgen -W "$options" -- "$2"
		return
	fi
	case $so_far in
	*' connections '*) compgen -W 'id= sysid= source= listener= rule= to= secured= most=' -- "$2" ;;
	*' ratchet '*) compgen -W 'list lift' -- "$2" ;;
	*' log-level '*) compgen -W 'error warning info debug' -- "$2" ;;
	*" ${verb:-?} "*) ;;
	*) compgen -W "$verbs" -- "$2" ;;
	esac
}

_ccissl_words() { # all there is behind the name of the program, and the word so far
	local options='-c --config --check --dump --explain --version --help' so_far=" ${COMP_WORDS[*]:1:COMP_CWORD-1} "
	if [[ $so_far == *' --explain '* && $1 != -* ]]; then
		options='source= sysid= security= target= listener= tls= identity= ratcheted='
	elif [[ $so_far == *' --check '* || $so_far == *' --dump '* || $so_far == *' --explain '* ]]; then
		options='-c --config'
	elif [[ $COMP_CWORD -eq 1 ]]; then
		options+=' ratchet report verify ctl'
		[[ ${COMP_WORDS[0]##*/} != ccisslgw ]] || options+=' connect ping'
	fi
	[[ $so_far == *' -c '* || $so_far == *' --config '* ]] && options=${options/-c --config/}
	compgen -W "$options" -- "$1"
}

_ccissl() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} found
	# Where = breaks words, word=value is three of them.
	if [[ $current == = ]]; then
		found=$(_ccissl_explain "$previous" '')
	elif [[ $previous == = ]]; then
		found=$(_ccissl_explain "${COMP_WORDS[COMP_CWORD - 2]}" "$current")
	elif [[ $current == *=* ]]; then
		found=$(_ccissl_explain "${current%%=*}" "${current#*=}" | sed "s/^/${current%%=*}=/")
	elif [[ $previous == -c || $previous == --config || $previous == --socket ]]; then
		compopt -o filenames 2>/dev/null
		found=$(compgen -f -- "$current")
	elif [[ $COMP_CWORD -gt 1 && ${COMP_WORDS[1]} == ratchet ]]; then
		found=$(_ccissl_ratchet "$current")
	elif [[ $COMP_CWORD -gt 1 && ${COMP_WORDS[1]} == ctl ]]; then
		found=$(_ccissl_ctl "$previous" "$current")
	elif [[ $COMP_CWORD -gt 1 && ${COMP_WORDS[1]} == @(report|verify) ]]; then
		[[ $current == -* ]] || compopt -o filenames 2>/dev/null
		found=$(_ccissl_report "$previous" "$current")
	elif [[ ${COMP_WORDS[0]##*/} == ccisslgw && $COMP_CWORD -gt 1 && ${COMP_WORDS[1]} == @(connect|ping) ]]; then
		[[ $previous == --@(ca|cert|key) ]] && compopt -o filenames 2>/dev/null
		found=$(_ccissl_command "${COMP_WORDS[1]}" "$previous" "$current")
	else
		found=$(_ccissl_words "$current")
	fi
	COMPREPLY=()
	[[ -z $found ]] || mapfile -t COMPREPLY <<<"$found"
	[[ ${COMPREPLY[0]-} != *[=:] ]] || compopt -o nospace 2>/dev/null
}

complete -F _ccissl ccissl ccisslgw
