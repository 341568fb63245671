package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/ops"
)

// asClient makes the test binary a process that makes one request, "METHOD URL", and prints status and body.
const asClient = "PILLION_TEST_REQUEST"

func TestMain(m *testing.M) {
	request := os.Getenv(asClient)
	if request == "" {
		os.Exit(m.Run())
	}
	method, url, _ := strings.Cut(request, " ")
	if err := requestOnce(method, url); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func requestOnce(method, url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Printf("%d %s", resp.StatusCode, body)
	return err
}

// askAs makes a request from a process of that UID.
func askAs(t *testing.T, uid uint32, method, url string) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{asClient + "=" + method + " " + url}
	if uid != uint32(os.Getuid()) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("a process of another user can't be started, needs root: %v", err)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// TestKernelGuard: the kernel says who asks. The proxy's user may write, root and the application may only read.
func TestKernelGuard(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Guard.Peers = &ops.Kernel{Find: ops.FindSocket, Ours: func(uint32) (bool, error) { return false, nil }}
	})
	for uid, want := range map[uint32]string{
		ourUID: "200 OK\n", 1000: "403 error: peer uid 1000, want 1337", 0: "403 error: peer uid 0, want 1337",
	} {
		if got := askAs(t, uid, http.MethodPost, r.url+"/reopen_logs"); !strings.HasPrefix(got, want) {
			t.Errorf("uid %d: %q, want %q", uid, got, want)
		}
		if got := askAs(t, uid, http.MethodGet, r.url+"/ready"); got != "200 LIVE\n" {
			t.Errorf("uid %d reads %q", uid, got)
		}
	}
	if got := strings.Join(r.calls, ","); got != "reopen" {
		t.Errorf("did %s", got)
	}
}
