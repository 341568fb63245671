package h2

import (
	"encoding/xml"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// hello reads what comes and answers with a few bytes.
func hello(s *ServerStream) {
	x := &stream.Exchange{}
	s.Head(x)
	for end := !x.Request.HasBody; !end; {
		var err error
		if _, end, err = s.ReadBody(); err != nil {
			return
		}
	}
	if s.WriteHead(&stream.Response{Status: 200, Length: 12}, false) == nil {
		_ = s.WriteBody([]byte("hello, h2!\r\n"), true)
	}
}

// report is h2spec's JUnit file.
type report struct {
	Suites []struct {
		Package string `xml:"package,attr"`
		Cases   []struct {
			Name    string    `xml:"classname,attr"`
			Failure *struct{} `xml:"failure"`
			Error   *string   `xml:"error"`
			Skipped *struct{} `xml:"skipped"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

// TestH2Spec runs h2spec, pinned in tools/go.mod. We mean to pass all of its tests.
func TestH2Spec(t *testing.T) {
	if testing.Short() {
		t.Skip("builds h2spec")
	}
	host, port, _ := net.SplitHostPort(serve(t, Options{}, hello))
	file := filepath.Join(t.TempDir(), "report.xml")
	tool := exec.Command("go", "-C", "../../../../tools", "tool", "h2spec", "-h", host, "-p", port, "-o", "20", "-j", file)
	out, runErr := tool.CombinedOutput()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v, %v\n%s", runErr, err, out)
	}
	passed, total := count(t, text)
	t.Logf("h2spec: %d of %d passed", passed, total)
	if total < 140 || passed < total {
		t.Errorf("%s", out)
	}
}

func count(t *testing.T, text []byte) (passed, total int) {
	t.Helper()
	var r report
	if err := xml.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	for _, suite := range r.Suites {
		for _, c := range suite.Cases {
			total++
			if c.Failure != nil || c.Error != nil || c.Skipped != nil {
				t.Logf("%s: %s failed or was skipped", suite.Package, c.Name)
			} else {
				passed++
			}
		}
	}
	return passed, total
}
