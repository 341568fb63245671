package pillion

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/pillion-mesh/pillion/internal/cmd/pillion/operator"
)

// call runs the command line.
func call(args ...string) (code int, out, err string) {
	var o, e bytes.Buffer
	code = Main(args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

func TestWrongUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"versio"}, `there is no command "versio"; did you mean pillion version?`},
		{[]string{"zzzzzz"}, `there is no command "zzzzzz"; see pillion --help`},
		{[]string{"operator", "--sidcar-image=x"}, `there is no flag --sidcar-image; did you mean --sidecar-image?`},
		{[]string{"operator", "--drain=soon"}, `invalid argument "soon" for "--drain"`},
		{[]string{"operator", "now"}, `takes no argument, got "now"`},
		{[]string{"operator", "--namespace="}, "--namespace is empty"},
		{[]string{"operator", "--probe-url=https://127.0.0.1:15017"}, "want https:// and a host name"},
		{[]string{"operator", "--log-level=loud"}, `log level "loud" is unknown; want one of`},
		{[]string{"certs", "rotat"}, `there is no command "rotat"; did you mean pillion certs rotate?`},
		{[]string{"certs", "-o", "wide"}, `-o "wide" is unknown`},
		{[]string{"certs", "rotate", "--until=done"}, `--until "done" is unknown; want promoted or retired`},
		{[]string{"certs", "rotate", "--timeout=-1s"}, `--timeout -1s: want more than 0`},
		{[]string{"version", "-o", "xml"}, `-o "xml" is unknown; want text, json or yaml`},
	} {
		code, out, err := call(c.args...)
		if code != 64 || out != "" || !strings.HasPrefix(err, "error: ") || !strings.Contains(err, c.want) {
			t.Errorf("pillion %s: exit %d, stdout %q, stderr %q; want 64 and %q", strings.Join(c.args, " "), code, out, err, c.want)
		}
	}
}

func TestHelpTeaches(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"operator", "--help"}, {"version", "--help"},
		{"inject", "--help"}, {"uninject", "--help"}, {"check-inject", "--help"}, {"webhooks"}, {"webhooks", "render", "--help"},
		{"certs", "--help"}, {"certs", "rotate", "--help"}} {
		code, out, err := call(args...)
		if code != 0 || err != "" || !strings.Contains(out, "Usage:") || !strings.Contains(out, "Examples:") {
			t.Errorf("pillion %v: exit %d, stderr %q, stdout %q", args, code, err, out)
		}
	}
}

func TestVersion(t *testing.T) {
	if _, out, _ := call("version"); !strings.HasPrefix(out, "client version: ") {
		t.Errorf("%q", out)
	}
	_, out, _ := call("version", "-o", "json")
	var result struct{ ClientVersion struct{ GoVersion string } }
	if err := json.Unmarshal([]byte(out), &result); err != nil || result.ClientVersion.GoVersion == "" {
		t.Errorf("%q: %v", out, err)
	}
}

func TestNoClusterIsAFailureNotAPanic(t *testing.T) {
	code, _, err := call("operator", "--supervise=false", "--kubeconfig="+t.TempDir()+"/none", "--ops-address=127.0.0.1:0")
	if code != 1 || !strings.Contains(err, "finding the cluster") {
		t.Errorf("exit %d: %s", code, err)
	}
}

func TestFromEnvironment(t *testing.T) {
	parse := func(environment map[string]string, args ...string) (operator.Options, error) {
		o := operator.Defaults()
		flags := pflag.NewFlagSet("operator", pflag.ContinueOnError)
		operatorFlags(flags, &o)
		if err := flags.Parse(args); err != nil {
			t.Fatal(err)
		}
		return o, fromEnvironment(flags, func(name string) (string, bool) { v, ok := environment[name]; return v, ok })
	}
	environment := map[string]string{"PILLION_SIDECAR_IMAGE": "env:1", "POD_NAMESPACE": "from-pod", "POD_NAME": "pod-1", "PILLION_POD_NAME": "pod-2", "PILLION_DRAIN": ""}
	o, err := parse(environment, "--sidecar-image=flag:1")
	if err != nil || o.SidecarImage != "flag:1" || o.Namespace != "from-pod" || o.PodName != "pod-2" || o.Drain != operator.Defaults().Drain {
		t.Errorf("%+v, %v", o, err)
	}
	var coded *exitError
	if _, err := parse(map[string]string{"PILLION_DRAIN": "soon"}); !errors.As(err, &coded) || coded.code != 64 || !strings.Contains(err.Error(), "PILLION_DRAIN") {
		t.Errorf("%v", err)
	}
}
