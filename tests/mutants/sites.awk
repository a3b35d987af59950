# SPDX-License-Identifier: MIT
#
# sites.awk - places of a C source that can be mutated: lines of LINE, OPERATOR, the line as it would be
#
# Only inside functions, one place for each operator and line. Comments, messages and assertions are left
# alone: what they say decides nothing.

function site(operator, text) {
	if (text != $0)
		print FNR "\t" operator "\t" text
}

function change(operator, from, to,	text) {
	text = $0
	if (sub(from, to, text))
		site(operator, text)
}

# "if (X)" on one line: "if (!(X))".
function negate(	at, i, c, depth) {
	at = match($0, /if \(/)
	if (!at)
		return
	for (i = at + 3; i <= length($0); i++) {
		c = substr($0, i, 1)
		depth += (c == "(") - (c == ")")
		if (!depth)
			break
	}
	if (!depth && i <= length($0))
		site("negate", substr($0, 1, at + 2) "(!" substr($0, at + 3, i - at - 2) ")" substr($0, i + 1))
}

FNR == 1 { inside = comment = 0 }
/^{/ { inside = 1; next }
/^}/ { inside = 0; next }
!inside { next }
comment { if (/\*\//) comment = 0; next }
/^\t*\/\*/ { if (!/\*\//) comment = 1; next }
/^#|"|static_assert|demand\(/ { next }

{
	negate()
	change("equal", " == ", " != ")
	change("unequal", " != ", " == ")
	change("less", " < ", " <= ")
	change("more", " > ", " >= ")
	change("at-most", " <= ", " < ")
	change("at-least", " >= ", " > ")
	change("and", " && ", " || ")
	change("or", " \\|\\| ", " \\&\\& ")
	change("plus-one", " \\+ 1;", ";")
	change("minus-one", " - 1;", ";")
	change("no-error", "return -E[A-Z]+;", "return 0;")
	change("true", "return true;", "return false;")
	change("false", "return false;", "return true;")
	if (/^\t+[a-z_]+\(.*\);$/ && !/^\t+log_/)
		site("no-call", "\t;")
	if (/^\t+return;$/)
		site("no-return", "\t;")
	if (/^\t+[a-z_>.\[\]-]+ [|&+-]?= .*;$/)
		site("no-assignment", "\t;")
}
