package scrape

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// merge returns the merged page and what was wrong with each page.
func merge(f form, pages ...string) (string, []error) {
	var out strings.Builder
	m := newMerger(&out, f)
	faults := make([]error, len(pages))
	for i, page := range pages {
		faults[i] = m.add(strings.NewReader(page))
	}
	return out.String(), faults
}

func TestMerge(t *testing.T) {
	for name, c := range map[string]struct {
		pages []string
		want  string
		fault string // of the last page
	}{
		"second descriptions are dropped": {[]string{"# HELP a one\n# TYPE a gauge\na 1\n", "# HELP a again\n# TYPE a gauge\na{x=\"2\"} 2\n# TYPE b counter\nb 7\n"},
			"# HELP a one\n# TYPE a gauge\na 1\na{x=\"2\"} 2\n# TYPE b counter\nb 7\n", ""},
		"however they are spaced":         {[]string{"# TYPE a gauge\n", "#  TYPE\ta   gauge\n"}, "# TYPE a gauge\n", ""},
		"quoted names have blanks":        {[]string{"# TYPE \"a b\" gauge\n# TYPE \"a c\" gauge\n# TYPE \"a \\\" c\" gauge\n"}, "# TYPE \"a b\" gauge\n# TYPE \"a c\" gauge\n# TYPE \"a \\\" c\" gauge\n", ""},
		"a last line without its end":     {[]string{"a 1", "b 2\n"}, "a 1\nb 2\n", ""},
		"EOF, comments and blanks go":     {[]string{"a 1\n# a word of comment\n\n  \n# EOF\n", "b 2\n# EOF\n"}, "a 1\nb 2\n", ""},
		"UNIT describes":                  {[]string{"# UNIT a_seconds seconds\n", "# UNIT a_seconds seconds\n"}, "# UNIT a_seconds seconds\n", ""},
		"numbers":                         {[]string{"a NaN\nb +Inf 1395066363000\n"}, "a NaN\nb +Inf 1395066363000\n", ""},
		"exemplars":                       {[]string{"a_bucket{le=\"1\"} 3 # {id=\"x\"} 0.5 1.5\n"}, "a_bucket{le=\"1\"} 3 # {id=\"x\"} 0.5 1.5\n", ""},
		"names in braces":                 {[]string{"{\"a.b\",c=\"}\"} 1\n"}, "{\"a.b\",c=\"}\"} 1\n", ""},
		"a web page":                      {[]string{"a 1\n", "<html>\n<p>Welcome 5</p>\n"}, "a 1\n", "line 2 is no metric"},
		"no value":                        {[]string{"a\n"}, "", "line 1 is no metric"},
		"a word for a value":              {[]string{"a many\nb 1\n"}, "b 1\n", "line 1 is no metric"},
		"a name that begins with a digit": {[]string{"1a 1\n"}, "", "line 1 is no metric"},
		"labels without an end":           {[]string{"a{b=\"c} 1\n", "a{b=\"c\" 1\n"}, "", "line 1 is no metric"},
		"too long a line":                 {[]string{"a 1\nb{c=\"" + strings.Repeat("x", lineBytes) + "\"} 1\nd 2\n"}, "a 1\nd 2\n", "line 2 is longer"},
		"too long a last line":            {[]string{"a 1\n" + strings.Repeat("x", 3*lineBytes)}, "a 1\n", "line 2 is longer"},
	} {
		got, faults := merge(openForm, c.pages...)
		last := faults[len(faults)-1]
		if got != c.want || (last == nil) != (c.fault == "") || (last != nil && !strings.Contains(last.Error(), c.fault)) {
			t.Errorf("%s: %q, %v; want %q, %q", name, got, last, c.want, c.fault)
		}
	}
}

// cut is a page whose connection breaks.
type cut struct {
	text string
	err  error
}

func (c *cut) Read(p []byte) (int, error) {
	n := copy(p, c.text)
	if c.text = c.text[n:]; c.text == "" {
		return n, c.err
	}
	return n, nil
}

func TestHalfALineIsNotPassed(t *testing.T) {
	var out strings.Builder
	err := newMerger(&out, plainForm).add(&cut{"a 1\nb 123", errors.New("the cable is cut")})
	if out.String() != "a 1\n" || err == nil || !strings.Contains(err.Error(), "the cable is cut") {
		t.Errorf("passed %q, error %v", out.String(), err)
	}
}

func TestFamiliesAreBounded(t *testing.T) {
	var page strings.Builder
	for i := range maxFamilies + 10 {
		fmt.Fprintf(&page, "# TYPE family_%d gauge\n", i)
	}
	got, faults := merge(plainForm, page.String())
	if n := strings.Count(got, "\n"); n != maxFamilies || faults[0] == nil {
		t.Errorf("%d descriptions were kept, want %d and an error, which is %v", n, maxFamilies, faults[0])
	}
}

// FuzzMerge: whatever the second page is, the first arrives whole and is described once, and what comes out would come
// out again.
func FuzzMerge(f *testing.F) {
	f.Add("# TYPE a gauge\na 2\n", false)
	f.Add("a{b=\"c\\\"}\"} 1 2 # {x=\"y\"} 3\n# EOF", true)
	f.Add("# HELP \"x y\" z\n{\"x y\"} NaN\n\x00\xff\r\n1", true)
	f.Fuzz(func(t *testing.T, second string, open bool) {
		const first = "# HELP a one\n# TYPE a gauge\na 1\n"
		f := plainForm
		if open {
			f = openForm
		}
		got, _ := merge(f, first, second)
		if !strings.HasPrefix(got, first) || !strings.HasSuffix(got, "\n") {
			t.Fatalf("merged %q", got)
		}
		if strings.Count(got, "\n# TYPE a ") != 1 || strings.Contains(got, "\n# EOF\n") {
			t.Errorf("merged %q", got)
		}
		again, faults := merge(f, got)
		if again != got || faults[0] != nil {
			t.Errorf("what was merged is not accepted again: %q, then %q: %v", got, again, faults)
		}
	})
}

// TestRealParserReadsIt: lines that are wrong in any way a page can be are gone, and the parser of Prometheus's library
// reads what is left.
func TestRealParserReadsIt(t *testing.T) {
	bad := []string{
		"garbage", "<html>", "1a 1", "a", "a many", "a 1e400", "a 0x1p-2", "a 1_000", "a 1 soon", "a 1 1.5", "a 1 2 3", "a 1\r", "a 1 # {x=\"y\"} 1",
		"a{ 1", "a{b} 1", "a{b=c} 1", "a{b=\"c} 1", "a{b=\"c\" 1", "a{b=\"c\"d=\"e\"} 1", "a{1b=\"c\"} 1", "a{b:c=\"d\"} 1", "a{,} 1", "a{b=\"\xff\"} 1",
		"{} 1", "{b=\"c\"} 1", "{\"a\",\"b\"} 1", "a{\"b\"} 1", "\"a\" 1", "# TYPE a thing", "# TYPE a", "# TYPE a gauge gauge", "# TYPE a-b gauge", "# HELP a\xff x", "# HELP a \xff",
		"a{b=\"c\"}", "# TYPE a unknown",
	}
	for _, line := range bad {
		got, faults := merge(plainForm, "# TYPE x counter\nx 1\n", line+"\ny{z=\"1\"} 2\n")
		if want := "# TYPE x counter\nx 1\ny{z=\"1\"} 2\n"; got != want || faults[1] == nil {
			t.Errorf("%q: merged %q, %v", line, got, faults[1])
		}
		parser := expfmt.NewTextParser(model.LegacyValidation)
		if families, err := parser.TextToMetricFamilies(strings.NewReader(got)); err != nil || len(families) != 2 {
			t.Errorf("%q: %v in %q", line, err, got)
		}
	}
}

// TestGoodLines pass unchanged. Those of the first list are read by the parser of Prometheus's library as well.
func TestGoodLines(t *testing.T) {
	plain := []string{
		"a 1", "a  1", "a\t1", "a 1 1395066363000", "a -1.5e-7 -5", "a NaN", "a +Inf", "a{} 1", "a{b=\"c\"} 1", "a{b=\"c\",} 1", "a { b = \"c\" , d=\"\" } 1",
		"a{b=\"}\\\\ \\\" \\n,\"} 1", "a:b_9 1", "# TYPE a untyped", "# HELP a any words # {", "# HELP a",
	}
	for _, line := range plain {
		got, faults := merge(plainForm, line+"\n")
		if got != line+"\n" || faults[0] != nil {
			t.Errorf("%q gives %q, %v", line, got, faults[0])
		}
		parser := expfmt.NewTextParser(model.LegacyValidation)
		if _, err := parser.TextToMetricFamilies(strings.NewReader(got)); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
	for _, line := range []string{"a_total 1 1.5 # {} 1", "a_bucket{le=\"1\"} 3 # {id=\"x\"} 0.5 1.5", "{\"a.b\",c=\"}\"} 1", "{\"a b\", \"c.d\"=\"e\"} 1", "# TYPE \"a b\" stateset", "# UNIT a_seconds seconds"} {
		if got, faults := merge(openForm, line+"\n"); got != line+"\n" || faults[0] != nil {
			t.Errorf("%q gives %q, %v", line, got, faults[0])
		}
	}
}
