package cel

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// reference is cel-go, which is asked the same.
type reference struct{ env *cel.Env }

func newReference(t testing.TB) *reference {
	env, err := cel.NewEnv(cel.Macros(cel.StandardMacros...), cel.ParserRecursionLimit(250))
	if err != nil {
		t.Fatal(err)
	}
	return &reference{env}
}

func (r *reference) compile(text string) (cel.Program, error) {
	parsed, issues := r.env.Parse(text)
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	return r.env.Program(parsed, cel.CostLimit(1_000_000))
}

// activation is what cel-go is told of an exchange.
func activation(x *stream.Exchange) map[string]any {
	all := map[string]any{"filter_state": mapper((*filterState)(x))}
	for root, attributes := range roots {
		if attributes == nil {
			continue
		}
		fields := map[string]any{}
		for name, of := range attributes {
			if v := of(x); v.kind != noKind {
				fields[name] = theirs(v)
			}
		}
		all[root] = fields
	}
	return all
}

// once has no header twice, for which a map of cel-go counts one.
func once() *stream.Exchange {
	x := exchange()
	x.Request.Fields.Set("x-a", "1")
	return x
}

// lookup is a mapping as cel-go takes it: what asks for all of it sees it by its keys.
type lookup struct {
	traits.Mapper
	of mapping
}

func mapper(m mapping) ref.Val {
	all := map[string]any{}
	m.keys(func(key value) bool {
		v, _ := m.find(key)
		all[key.str] = theirs(v)
		return true
	})
	return &lookup{types.NewStringInterfaceMap(types.DefaultTypeAdapter, all), m}
}

func (l *lookup) Find(key ref.Val) (ref.Val, bool) {
	name, is := key.(types.String)
	if !is {
		return nil, false
	}
	v, there := l.of.find(stringValue(string(name)))
	if !there {
		return nil, false
	}
	return theirs(v), true
}

func (l *lookup) Get(key ref.Val) ref.Val {
	if v, there := l.Find(key); there {
		return v
	}
	return types.NewErr("no such key: %v", key)
}

func (l *lookup) Contains(key ref.Val) ref.Val {
	_, there := l.Find(key)
	return types.Bool(there)
}

func (l *lookup) Size() ref.Val { return types.Int(l.of.size()) }

// theirs is a value as cel-go has it.
func theirs(v value) ref.Val {
	switch v.kind {
	case nullKind:
		return types.NullValue
	case boolKind:
		return types.Bool(v.num == 1)
	case intKind:
		return types.Int(v.int())
	case uintKind:
		return types.Uint(v.num)
	case doubleKind:
		return types.Double(v.double())
	case stringKind:
		return types.String(v.str)
	case bytesKind:
		return types.Bytes(v.str)
	case durationKind:
		return types.Duration{Duration: v.duration()}
	case timeKind:
		return types.Timestamp{Time: v.time()}
	case listKind:
		out := []ref.Val{}
		for _, each := range v.list() {
			out = append(out, theirs(each))
		}
		return types.DefaultTypeAdapter.NativeToValue(out)
	case mapKind:
		if _, written := v.mapping().(entries); !written {
			return mapper(v.mapping())
		}
		out := map[ref.Val]ref.Val{}
		v.mapping().keys(func(key value) bool {
			of, _ := v.mapping().find(key)
			out[theirs(key)] = theirs(of)
			return true
		})
		return types.DefaultTypeAdapter.NativeToValue(out)
	}
	return types.NewErr("%s", v.str)
}

// same: of one type and equal. NaN is NaN here.
func same(ours value, b ref.Val) bool {
	switch a := theirs(ours).(type) {
	case types.Double:
		d, is := b.(types.Double)
		return is && (math.Float64bits(float64(a)) == math.Float64bits(float64(d)) || math.IsNaN(float64(a)) && math.IsNaN(float64(d)))
	case types.Bytes:
		d, is := b.(types.Bytes)
		return is && bytes.Equal(a, d)
	case traits.Lister:
		return sameLists(ours.list(), b)
	case traits.Mapper:
		return sameMaps(ours.mapping(), b)
	default:
		return a.Type() == b.Type() && a.Equal(b) == types.True
	}
}

func sameLists(ours list, b ref.Val) bool {
	other, is := b.(traits.Lister)
	if !is || other.Size() != types.Int(len(ours)) {
		return false
	}
	for i := range ours {
		if !same(ours[i], other.Get(types.Int(i))) {
			return false
		}
	}
	return true
}

func sameMaps(ours mapping, b ref.Val) bool {
	other, is := b.(traits.Mapper)
	if !is || other.Size() != types.Int(ours.size()) {
		return false
	}
	equal := true
	ours.keys(func(key value) bool {
		v, _ := ours.find(key)
		w, there := other.Find(theirs(key))
		equal = equal && there && same(v, w)
		return equal
	})
	return equal
}

// asked of both, an expression that we take must mean the same.
func (r *reference) compare(x *stream.Exchange, all map[string]any, text string) error {
	e, err := Compile(text)
	if err != nil {
		return nil //nolint:nilerr // we may refuse what cel-go takes
	}
	ours := e.value(x)
	if ours.kind == errSteps.kind && ours.str == errSteps.str {
		return nil
	}
	program, err := r.compile(text)
	if err != nil && (strings.Contains(err.Error(), "invalid qualifier type") || strings.Contains(err.Error(), "constant qualifiers")) {
		return nil // it says when it compiles what is an error of one part when it is computed
	}
	if err != nil {
		return fmt.Errorf("cel-go refuses %q: %w; here: %s", text, err, describe(ours))
	}
	b, _, err := program.Eval(all)
	if err != nil && strings.Contains(err.Error(), "cost limit") || unlike(text) {
		return nil
	}
	if err != nil != ours.failed() || err == nil && !same(ours, b) {
		return fmt.Errorf("%q is %s, with cel-go %v, %w", text, describe(ours), b, err)
	}
	return nil
}

func describe(v value) string { return fmt.Sprintf("%v of kind %d", theirs(v), v.kind) }

// ofHas is `has(a.b)[c]`, whose index cel-go forgets.
var ofHas = regexp.MustCompile(`has\(.*\.\s*\w+\s*\)+\s*[\[.]`)

// unlike expressions mean something else with cel-go: it computes with a time's own zone where the specification says UTC,
// and takes a map's keys in any order.
func unlike(text string) bool {
	zoned := strings.Contains(text, "timestamp") && (strings.Contains(text, "get") || strings.Contains(text, "string"))
	ordered := strings.Contains(text, "{") || strings.Contains(text, "request") || strings.Contains(text, "response") || strings.Contains(text, "meta") || strings.Contains(text, "filter_")
	return ofHas.MatchString(text) || zoned && strings.ContainsAny(text, "+-") || ordered && (strings.Contains(text, "map") || strings.Contains(text, "filter("))
}

// meant are expressions of all that the language has, true or with an error where they say so.
var meant = []string{
	`1 + 2 * 3 - 4 / 2 % 3 == 5`, `(1 + 2) * 3 == 9`, `-2 * -3 == 6`, `7 - 2 - 1 == 4`, `2u + 3u == 5u`, `1.5 * 2.0 == 3.0`, `0x1F == 31 && 0xffu == 255u`,
	`-9223372036854775808 < 0`, `9223372036854775807 + 1`, `-9223372036854775808 - 1`, `-(-9223372036854775808)`, `-9223372036854775808 / -1`, `-9223372036854775808 % -1`,
	`9223372036854775807 * 2`, `18446744073709551615u + 1u`, `1u - 2u`, `18446744073709551615u * 2u`, `1 / 0`, `1 % 0`, `1u / 0u`, `1.0 / 0.0`, `0.0 / 0.0 == 0.0 / 0.0`, `1 + 1.0`, `1 + 1u`,
	`-1u`, `-'a'`, `!1`, `!!true`, `--1 == 1`, `!true || true`, `- 1 == -1`, `1 - -1 == 2`, `1--1 == 2`, `.5 == 0.5 && 1e3 == 1000.0 && 1.5e-1 == 0.15`, `5 .size()`,
	`1 == 1.0 && 1u == 1 && 1.0 == 1u && 1 != 1.5`, `1 == '1'`, `null == null && null != 0`, `true == 1`, `-1 < 1u && 1u > -1 && 1.5 < 2u && 2 > 1.5`, `0.0/0.0 < 1.0`, `-0.0 == 0.0`,
	`18446744073709551615u > 9223372036854775807`, `9223372036854775807 == 9223372036854775807.0`, `1 < 'a'`, `'a' < 'b' && b'a' < b'b' && false < true`, `[1] < [2]`, `null < null`, `1 < 2 == true`,
	`true || 1/0 == 1`, `1/0 == 1 || true`, `false && 1/0 == 1`, `1/0 == 1 && false`, `1/0 == 1 && true`, `true && 1`, `1 || true`, `1 && false`, `1 || false`, `'a' ? 1 : 2`, `true ? 1 : 1/0`, `false ? 1/0 : 2`, `1/0 == 1 ? 1 : 2`,
	`true ? false ? 1 : 2 : 3`, `(true ? false : true) ? 1 : true ? 2 : 3`, `1 in [1, 2] && !(3 in [1, 2]) && 1.0 in [1u]`, `'a' in {'a': 1}`, `1.0 in {1: 2}`, `1 in 1`, `[1] in [[1]]`,
	`[1, 2][1] == 2 && [1, 2][1.0] == 2 && [1, 2][1u] == 2`, `[1][1]`, `[1][-1]`, `[1][0.5]`, `[1]['a']`, `[1][true]`, `[][0]`, `1[0]`, `'a'[0]`, `{'a': 1}['a'] == 1 && {'a': 1}.a == 1`, `{'a': 1}.b`, `{'a': 1}['b']`, `{1: 'a'}[1u] == 'a' && {1u: 'a'}[1.0] == 'a'`,
	`{true: 1, 'a': 2}`, `{'a': 1/0}`, `[1/0]`, `{'a': {'b': [1, 2]}}.a.b[1] == 2`, `{'a': 1, 'b': 2} == {'b': 2.0, 'a': 1u}`, `{'a': 1} != {'a': 2}`, `[1, [2]] == [1.0, [2u]]`, `[1] == [1, 2]`,
	`has({'a': 1}.a) && !has({'a': 1}.b)`, `has({}.a.b)`, `has([1].a)`, `has('a'.b)`, `has((({'a': 1}).a))`, `has(1 .a)`, `has(null.a)`, `1 .a`, `[1].a`, `null.a`,
	`'a' + 'b' == 'ab' && b'a' + b'b' == b'ab' && [1] + [2] == [1, 2]`, `'a' + b'b'`, `[] + []`, `{} + {}`, `'ab' - 'b'`, `'a' * 2`, `1.5 % 2.0`,
	`"\a\b\f\n\r\t\v\\\'\"\?\x41\u00e4\U0001F600\101` + "\\`" + `"`, `'it''s'`, `r'\n' == '\\n'`, `R"\d"`, `'''a'b''c''' == "a'b''c"`, "\"\"\"a\r\nb\"\"\"", "r'''\\\r'''", `b'\xff\377ä'`, `B"\x00"`, `br'\x'`, `bR"""a"b"""`, `'\377' == 'ÿ'`, `''''a'''`, `''''''`, `"'" == '"'`,
	"'a' // b\n == 'a'", "\t1\f==\r\n1 // end", `size('äöü') == 3 && 'äöü'.size() == 3 && size(b'ä') == 2 && size([1]) == 1 && size({}) == 0`, `size(1)`, `null.size()`,
	`'hello'.contains('ell') && 'hello'.startsWith('he') && 'hello'.endsWith('lo')`, `'a'.contains(1)`, `1 .contains('a')`, `b'a'.contains('a')`, `'hello'.matches('^h.*o$') && matches('hello', 'l+')`, `1 .matches('a')`, `b'a'.matches('a')`,
	`int('12') == 12 && int(1.9) == 1 && int(-1.9) == -1 && int(2u) == 2 && int('-3') == -3`, `int(1e30)`, `int('1.5')`, `int('0x1')`, `int(0.0/0.0)`, `int(18446744073709551615u)`, `int(true)`, `int(b'1')`, `int(9223372036854775807.0)`, `int(-9223372036854775808.0)`, `int(null)`,
	`uint(1) == 1u && uint('2') == 2u && uint(3.7) == 3u`, `uint(-1)`, `uint(-1.0)`, `uint(-0.5)`, `uint(18446744073709551616.0)`, `uint('-1')`, `uint(duration('1s'))`,
	`double(1) == 1.0 && double('1e3') == 1000.0 && double(2u) == 2.0`, `double('NaN') != double('NaN')`, `double('x')`, `double('-inf')`, `double(b'1')`, `double('1_0')`, `int('1_0')`,
	`string(1) == '1' && string(1.5) == '1.5' && string(true) == 'true' && string(2u) == '2' && string(b'a') == 'a' && string('a') == 'a'`, `string(1e21)`, `string(1000000.0)`, `string(1e-7)`, `string(1.0/0.0)`, `string(b'\xff')`, `string(null)`, `string([1])`, `string(0.1)`, `string(123456789.0)`,
	`string(duration('1h30m')) == '5400s' && string(duration('1500ms')) == '1.5s'`, `string(timestamp('2024-01-02T03:04:05.678Z'))`, `bytes('ä') == b'ä' && bytes(b'a') == b'a'`, `bytes(1)`, `bool('true') && !bool('f') && bool('T') && bool(true)`, `bool('yes')`, `bool(1)`, `dyn(1) == 1`,
	`duration('1h') > duration('1m') && duration('1h') - duration('1m') == duration('59m') && -duration('1s') == duration('-1s')`, `duration('x')`, `duration('1')`, `duration(1)`, `duration('2562047h') + duration('2562047h')`, `duration('1s') * 2`, `duration(duration('1s')) + duration('1ns')`,
	`timestamp('2024-01-02T03:04:05Z') + duration('1h') == timestamp('2024-01-02T04:04:05Z')`, `duration('1h') + timestamp('2024-01-02T03:04:05Z')`, `timestamp('2024-01-02T03:04:05Z') - duration('24h')`, `timestamp('2024-01-02T03:04:05.5Z') - timestamp('2024-01-01T00:00:00Z')`,
	`timestamp('9999-12-31T23:59:59Z') + duration('1s')`, `timestamp('0001-01-01T00:00:00Z') - duration('1ns')`, `timestamp('9999-12-31T23:59:59Z') - timestamp('0001-01-01T00:00:00Z')`, `timestamp('2024-01-02')`, `timestamp(0) == timestamp('1970-01-01T00:00:00Z')`, `timestamp(253402300800)`, `timestamp(-62135596801)`,
	`timestamp('0000-01-01T00:00:00Z')`, `int(timestamp('2024-01-02T03:04:05.9Z'))`, `int(timestamp('1969-12-31T23:59:59.5Z'))`, `int(duration('1s'))`, `timestamp('2024-01-02T03:04:05Z') < timestamp('2024-01-02T03:04:05.1Z')`, `timestamp('2024-01-01T01:00:00+01:00') == timestamp('2024-01-01T00:00:00Z')`,
	`timestamp('2024-03-02T03:04:05.678Z').getFullYear() == 2024`, `timestamp('2024-03-02T03:04:05.678Z').getMonth() == 2`, `timestamp('2024-03-02T03:04:05Z').getDate() == 2`, `timestamp('2024-03-02T03:04:05Z').getDayOfMonth() == 1`, `timestamp('2024-03-02T03:04:05Z').getDayOfWeek() == 6`,
	`timestamp('2024-03-02T03:04:05Z').getDayOfYear() == 61`, `timestamp('2024-03-02T03:04:05Z').getHours() == 3`, `timestamp('2024-03-02T03:04:05Z').getMinutes() == 4`, `timestamp('2024-03-02T03:04:05Z').getSeconds() == 5`, `timestamp('2024-03-02T03:04:05.678Z').getMilliseconds() == 678`,
	`request.time.getHours('02:00')`, `request.time.getHours('-01:30')`, `request.time.getDate('UTC')`, `duration('1h30m').getMinutes() == 90 && duration('1h30m').getHours() == 1 && duration('-90s').getMinutes() == -1`, `duration('1500ms').getMilliseconds()`, `duration('1s').getDate()`, `'a'.getHours()`, `duration('1s').getSeconds('UTC')`,
	`[1, 2].all(x, x > 0) && ![1, 2].all(x, x > 1)`, `[1, 0].all(x, 1/x > 0)`, `[0, 1].all(x, 1/x > 5)`, `[0, 1].exists(x, 1/x == 1)`, `[0, 1].exists(x, 1/x == 5)`, `[1, 2, 2].exists_one(x, x == 1) && ![1, 1].exists_one(x, x == 1)`, `[0, 1].exists_one(x, 1/x == 1)`, `[1].all(x, 1)`, `[1].exists(x, 'a')`, `[1].exists_one(x, 1)`,
	`[1, 2].map(x, x * 2) == [2, 4] && [1, 2].filter(x, x > 1) == [2] && [1, 2].map(x, x > 1, x * 10) == [20]`, `[0].map(x, 1/x)`, `[0].filter(x, 1/x > 0)`, `[1].map(x, 1, x)`, `[].all(x, 1/0 == 1)`, `[].exists(x, true)`, `1 .all(x, true)`, `'a'.exists(x, true)`, `null.map(x, x)`, `[1, true].all(x, x)`,
	`{'a': 1}.all(k, k == 'a')`, `{'a': 1, 'b': 2}.exists(k, k == 'b')`, `[[1, 2], [3]].all(l, l.all(x, x > 0))`, `[1, 2].map(x, [3, 4].map(y, x * y)) == [[3, 4], [6, 8]]`, `[1].all(x, [2].all(x, x == 2) && x == 1)`, `[{'a': 1}].all(request, request.a == 1)`, `[1, 2].filter(x, x > 1).map(x, x + 1)[0] == 3`, `[1].map(size, size)`,
	`request.headers.exists(k, k.startsWith('x-'))`, `request.headers.all(k, request.headers[k] != '')`, `metadata.filter_metadata.exists(f, f == 'c')`, `has(metadata.filter_metadata.f.n) && !has(metadata.filter_metadata.g)`, `has(metadata.filter_metadata.g.n)`, `has(filter_state.key) && !has(filter_state.none)`, `has(filter_state.none.a)`, `filter_state[1]`, `filter_state.key.a`, `has(filter_state.key.a)`,
	`request.headers[1]`, `1 in request.headers`, `request.headers == {}`, `size(request.headers) > 0 && size(metadata.filter_metadata) == 2 && size(filter_state) == 1`, `request.time + request.duration > request.time`, `string(request.time) == '2023-11-14T22:13:20Z'`, `metadata.filter_metadata.f == {'n': 1.5, 's': 't'}`,
}

// TestAsCELGo: cel-go says the same.
func TestAsCELGo(t *testing.T) {
	r, x := newReference(t), once()
	all := activation(x)
	for _, text := range slices.Concat(meant, judgedTexts()) {
		if _, err := Compile(text); err != nil && !refusedHere[text] {
			t.Error(err)
		}
		if err := r.compare(x, all, text); err != nil {
			t.Error(err)
		}
	}
}

func judgedTexts() (all []string) {
	for text := range judged {
		all = append(all, text)
	}
	return all
}

// refusedHere are expressions that are none.
var refusedHere = map[string]bool{`'it''s'`: true, `true ? false ? 1 : 2 : 3`: true}

// TestKeys: cel-go takes any key, also twice; the specification doesn't.
func TestKeys(t *testing.T) {
	for _, text := range []string{`{1.5: 1}`, `{null: 1}`, `{[1]: 1}`, `{b'a': 1}`, `{'a': 1, 'a': 2}`, `{1: 1, 1u: 2}`} {
		if e, err := Compile(text); err != nil || !e.value(exchange()).failed() {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// FuzzText: no text makes compiling or judging panic, and what it means is what cel-go says.
func FuzzText(f *testing.F) {
	for _, text := range slices.Concat(meant, judgedTexts()) {
		f.Add(text)
	}
	r, x := newReference(f), once()
	all := activation(x)
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "{") { // see TestKeys
			return
		}
		if err := r.compare(x, all, text); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzGenerated makes expressions of the choices it is given.
func FuzzGenerated(f *testing.F) {
	for i := range 64 {
		f.Add([]byte(strings.Repeat(fmt.Sprint(time.Duration(i*i*7919)), 4)))
	}
	r, x := newReference(f), once()
	all := activation(x)
	f.Fuzz(func(t *testing.T, choices []byte) {
		g := &generator{choices: choices}
		if err := r.compare(x, all, g.expression(5)); err != nil {
			t.Fatal(err)
		}
	})
}

type generator struct{ choices []byte }

func (g *generator) of(n int) int {
	if len(g.choices) == 0 {
		return 0
	}
	c := g.choices[0]
	g.choices = g.choices[1:]
	return int(c) % n
}

func (g *generator) one(list ...string) string { return list[g.of(len(list))] }

var leafs = []string{
	"1", "0", "-1", "2u", "0u", "1.5", "0.0", "-2.0", "'a'", "''", "'12'", "'true'", "b'a'", "true", "false", "null", "9223372036854775807", "-9223372036854775808", "18446744073709551615u", "1e19",
	"'1h'", "'ä'", "'2024-02-29T12:00:00Z'", "duration('1s')", "timestamp('2024-02-29T12:00:00.25Z')", "x", "y", "request.path", "response.code", "request.headers", "metadata.filter_metadata", "filter_state", "response.flags", "request.referer", "request.duration",
}

// expression has names x and y, which are unknown outside of macros: then we refuse it.
func (g *generator) expression(depth int) string {
	if depth == 0 || len(g.choices) == 0 {
		return g.one(leafs...)
	}
	next := func() string { return g.expression(depth - 1) }
	switch g.of(14) {
	case 0, 1:
		return g.one(leafs...)
	case 2, 3:
		return "(" + next() + ")" + g.one("+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", " in ", "&&", "||") + "(" + next() + ")"
	case 4:
		return next() + g.one(" + ", " - ", "*", "/", "%", " == ", " != ", " < ", " && ", " || ", " in ") + next()
	case 5:
		return "(" + next() + ") ? (" + next() + ") : " + next()
	case 6:
		return g.one("!", "-", "--", "!!") + "(" + next() + ")"
	case 7:
		return "[" + next() + ", " + next() + "]"
	case 8:
		return "{" + g.one("'a'", "'f'", "1", "2u", "true", "string(response.code)") + ": " + next() + "}"
	case 9:
		return "(" + next() + ")[" + next() + "]"
	case 10:
		return g.one("size", "int", "uint", "double", "string", "bytes", "bool", "duration", "timestamp", "dyn") + "(" + next() + ")"
	case 11:
		return "(" + next() + ")." + g.one("size()", "contains('a')", "startsWith('/p')", "endsWith('a')", "matches('^.a*$')", "getHours()", "getSeconds()", "getDate()", "getMilliseconds()", "getMonth('05:30')", "a", "f.n", "key")
	case 12:
		return "(" + next() + ")." + g.one("all", "exists", "exists_one", "filter", "map") + "(" + g.one("x", "y") + ", " + next() + ")"
	default:
		return "has((" + next() + ")." + g.one("a", "f", "key") + ")"
	}
}
