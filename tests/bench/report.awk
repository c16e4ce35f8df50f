# Lines of build/bench/medians.tsv (workers, row, gateway, metric, median, least, most) into the tables of
# docs/performance.md.

BEGIN {
	FS = "\t"
	peers = split("haproxy nginx hitch stunnel haproxy-default nginx-default", peer, " ")
	title["down"] = "secured, to the client, s/GiB"
	title["up"] = "secured, from the client, s/GiB"
	title["clear"] = "clear, to the client, s/GiB"
	title["handshake"] = "full handshake, after the exchange, us"
	title["direct"] = "full handshake, direct start, us"
	title["resume"] = "resumed handshake, after the exchange, us"
	title["echo64"] = "round trip of 64 bytes, us"
	title["echo4096"] = "round trip of 4 KiB, us"
	title["raw"] = "clear connection, us"
	title["idle"] = "idle secured connection, KiB (2,000)"
	title["idle9000"] = "idle secured connection, KiB (8,900)"
	goal["down"] = goal["up"] = 0.9
	goal["handshake"] = goal["echo64"] = goal["echo4096"] = 0.95
	goal["resume"] = 0.92
	goal["clear"] = 1
	goal["idle"] = goal["idle9000"] = 0.8
}

{
	k = $1 SUBSEP $2 SUBSEP $3 SUBSEP $4
	median[k] = $5
	least[k] = $6
	most[k] = $7
	workers_seen[$1] = 1
	if ($2 ~ /@/) {
		split($2, part, "@")
		held_seen[part[2]] = 1
	}
}

function key(workers, row, name, metric) { return workers SUBSEP row SUBSEP name SUBSEP metric }
function metric_of(row) { return row ~ /^idle/ ? "pss" : "cpu" }
function has(workers, row, name) { return key(workers, row, name, metric_of(row)) in median }
function value(workers, row, name) { return median[key(workers, row, name, metric_of(row))] }
function row_of(row, name) { return row == "direct" && name != "ccissl" ? "handshake" : row }
function number(x) { return x >= 100 ? sprintf("%.0f", x) : sprintf("%.3g", x) }

function cell(workers, row, name,    k) {
	if (!has(workers, row, name))
		return " - |"
	k = key(workers, row, name, metric_of(row))
	return " " number(median[k]) " (" number(least[k]) " to " number(most[k]) ") |"
}

function best_of(workers, row,    i, name, best) {
	best = ""
	for (i = 1; i <= peers; i++) {
		name = peer[i]
		if (has(workers, row_of(row, name), name) &&
		    (best == "" || value(workers, row_of(row, name), name) < value(workers, row_of(row, best), best)))
			best = name
	}
	return best
}

function main_table(workers,    n, rows, r, i, best, line, ratio, verdict) {
	n = split("down up clear handshake direct resume echo64 echo4096 raw idle idle9000", rows, " ")
	line = "| work | ccissl |"
	for (i = 1; i <= peers; i++)
		line = line " " peer[i] " |"
	print line " best peer | ratio | goal |"
	print "|---|---|---|---|---|---|---|---|---|---|---|"
	for (r = 1; r <= n; r++) {
		if (!has(workers, rows[r], "ccissl"))
			continue
		line = "| " title[rows[r]] " |" cell(workers, rows[r], "ccissl")
		for (i = 1; i <= peers; i++)
			line = line cell(workers, row_of(rows[r], peer[i]), peer[i])
		best = best_of(workers, rows[r])
		if (best == "") {
			print line " - | - | - |"
			continue
		}
		ratio = value(workers, rows[r], "ccissl") / value(workers, row_of(rows[r], best), best)
		verdict = rows[r] in goal ? sprintf("%.2f: %s", goal[rows[r]], ratio <= goal[rows[r]] + 0.004 ? "met" : "missed") : "-"
		print line " " best " | " sprintf("%.2f", ratio) " | " verdict " |"
	}
	print ""
}

function defaults_line(    r, i, n, rows, names, text) {
	n = split("down up", rows, " ")
	text = ""
	for (r = 1; r <= n; r++)
		for (i = 1; i <= split("haproxy-default nginx-default hitch stunnel", names, " "); i++)
			if (has(1, rows[r], names[i]))
				text = text sprintf("%s%s of %s %.2f", text == "" ? "" : ", ", rows[r] == "down" ? "download" : "upload", names[i],
				                    value(1, rows[r], "ccissl") / value(1, rows[r], names[i]))
	if (text != "")
		print "Against configurations as they come (goal: 0.7 of each): " text ".\n"
}

function pair_table(    n, rows, r, words, line, i, names) {
	if (!has(1, "pair-down", "ccissl-pair"))
		return
	print "## The pair\n"
	print "client, clear -> gateway -> TLS -> gateway -> clear, back end: both gateways' CPU together. ccisslgw and ccissl exchange"
	print "their messages, confirm them, verify the certificate's name, record and notify; the others verify the name too.\n"
	print "| work | ccisslgw to ccissl | HAProxy to HAProxy | stunnel to stunnel | ratio to the better |\n|---|---|---|---|---|"
	words["pair-down"] = "to the client, s/GiB"
	words["pair-up"] = "from the client, s/GiB"
	words["pair-connect"] = "a new connection (resumed TLS where the gateway does that), us"
	words["pair-echo64"] = "round trip of 64 bytes, us"
	n = split("pair-down pair-up pair-connect pair-echo64", rows, " ")
	for (r = 1; r <= n; r++) {
		if (!has(1, rows[r], "ccissl-pair") || !has(1, rows[r], "haproxy-pair") || !has(1, rows[r], "stunnel-pair"))
			continue
		i = value(1, rows[r], "haproxy-pair")
		if (value(1, rows[r], "stunnel-pair") < i)
			i = value(1, rows[r], "stunnel-pair")
		line = "| " words[rows[r]] " |" cell(1, rows[r], "ccissl-pair") cell(1, rows[r], "haproxy-pair") cell(1, rows[r], "stunnel-pair")
		print line sprintf(" %.2f |", value(1, rows[r], "ccissl-pair") / i)
	}
	print ""
}

function floor_table() {
	print "## The floor, and the price of the exchange\n"
	print "| what | CPU |\n|---|---|"
	if (has(1, "handshake", "floor-accept"))
		print "| a bare OpenSSL accept loop, no back end: full handshake, us |" cell(1, "handshake", "floor-accept")
	if (has(1, "clear", "floor-splice"))
		print "| a bare relay by splice, two threads: s/GiB |" cell(1, "clear", "floor-splice")
	if (has(1, "clear", "floor-copy"))
		print "| a bare relay by read and write, two threads: s/GiB |" cell(1, "clear", "floor-copy")
	if (gcm > 0)
		printf "| `openssl speed` AES-128-GCM, 16 KiB at a time: s/GiB | %.3g |\n", 1073741824 / (gcm * 1000)
	if (has(1, "handshake", "ccissl-quiet"))
		print "| ccissl: full handshake after the exchange, nothing logged, no notifier: us |" cell(1, "handshake", "ccissl-quiet")
	if (has(1, "exchanged", "ccissl"))
		print "| ccissl: clear connection with OFFER and ACCEPT, us |" cell(1, "exchanged", "ccissl")
	if (has(1, "raw", "ccissl"))
		print "| ccissl: clear connection without an exchange, us |" cell(1, "raw", "ccissl")
	print ""
	if (has(1, "handshake", "ccissl-quiet") && has(1, "exchanged", "ccissl") && has(1, "raw", "ccissl"))
		printf "So of a full handshake's %.0f us the clear messages take %.0f, and notifier, record and log %.0f.\n\n", \
		    value(1, "handshake", "ccissl"), value(1, "exchanged", "ccissl") - value(1, "raw", "ccissl"), \
		    value(1, "handshake", "ccissl") - value(1, "handshake", "ccissl-quiet")
}

function rate(workers, row, name, scale,    k) {
	k = key(workers, row, name, "rate")
	return k in median ? number(median[k] * scale) : "-"
}

function speed_table(    n, rows, r, names, count, i, row, line) {
	print "## Throughput and latency\n"
	print "With one worker gateway, load and back end share one core, so rates say how they add up, not what a gateway alone could do.\n"
	count = split("ccissl haproxy nginx hitch stunnel", names, " ")
	print "| | ccissl | haproxy | nginx | hitch | stunnel |\n|---|---|---|---|---|---|"
	n = split("down up clear", rows, " ")
	for (r = 1; r <= n; r++) {
		line = "| " rows[r] ", MiB/s |"
		for (i = 1; i <= count; i++)
			line = line " " rate(1, rows[r], names[i], 1) " |"
		print line
	}
	n = split("handshake resume echo64 echo4096", rows, " ")
	for (r = 1; r <= n; r++) {
		line = "| " rows[r] ", a second |"
		for (i = 1; i <= count; i++)
			line = line " " rate(1, rows[r], names[i], 1) " |"
		print line
		line = "| " rows[r] ", p50 / p99 / p99.9, us |"
		for (i = 1; i <= count; i++) {
			row = rows[r]
			if (!(key(1, row, names[i], "p50") in median)) {
				line = line " - |"
				continue
			}
			line = line " " number(median[key(1, row, names[i], "p50")]) " / " number(median[key(1, row, names[i], "p99")]) " / " \
			       number(median[key(1, row, names[i], "p999")]) " |"
		}
		print line
	}
	print ""
}

function two_workers(    one, two) {
	if (!has(2, "handshake", "ccissl") || !has(1, "handshake", "ccissl"))
		return
	one = value(1, "handshake", "ccissl")
	two = value(2, "handshake", "ccissl")
	print "## Two workers\n"
	main_table(2)
	printf "A full handshake takes %.0f us of CPU with one worker and %.0f with two, so two carry %.2f times what one does (goal: 1.8), as far\n", \
	    one, two, 2 * one / two
	print "as CPU decides. Load and back end share the two cores with the workers, so the rate itself cannot double here.\n"
}

function growth_table(    n, rows, r, h, w, helds, count, line) {
	count = split("1 100 1000 8900", helds, " ")
	if (!has(1, "handshake@100", "ccissl"))
		return
	print "## How cost grows\n"
	print "CPU of ccissl while that many secured connections are open; round trips go to each of them in turn. The descriptor limit of"
	print "this machine ends at 8,900.\n"
	line = "| work, workers |"
	for (h = 1; h <= count; h++)
		line = line " " helds[h] " |"
	print line "\n|---|---|---|---|---|"
	n = split("handshake rounds down", rows, " ")
	for (r = 1; r <= n; r++)
		for (w = 1; w <= 2; w++) {
			line = "| " (rows[r] == "rounds" ? "round trip, us" : rows[r] == "down" ? "download, s/GiB" : "full handshake, us") ", " w " |"
			for (h = 1; h <= count; h++)
				line = line cell(w, rows[r] "@" helds[h], "ccissl")
			print line
		}
	print "\n![cost by open connections](growth.svg)\n"
}

END {
	main_table(1)
	print "A dash: not offered, or every round of that test failed.\n"
	defaults_line()
	print "![CPU and memory relative to ccissl](performance.svg)\n"
	floor_table()
	pair_table()
	speed_table()
	two_workers()
	growth_table()
}
