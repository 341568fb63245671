package ipt

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/nft"
)

// Runner runs a program with input and gives back what it printed. The child is in the network namespace of the calling
// thread.
type Runner func(program string, args []string, input string) (output string, err error)

// Bounds of one run: iptables itself waits up to 5 seconds for its lock.
const (
	runTime   = 30 * time.Second
	maxOutput = 64 << 20
)

// privateLock is a lock file that nobody outside the network namespace can hold: the namespace itself, as the child
// sees it. It is there on a read-only root too.
const privateLock = "/proc/self/ns/net"

const sharedLock = "/run/xtables.lock"

// lockFile is the lock iptables-legacy takes: the machine's, for others may change the namespace's rules too; its own
// where asked for or where that one can't be opened.
func lockFile(private bool) string {
	if !private {
		if f, err := os.OpenFile(sharedLock, os.O_CREATE|os.O_RDONLY, 0o600); err == nil {
			f.Close()
			return sharedLock
		}
	}
	return privateLock
}

// Exec runs programs for real. ownLock keeps iptables-legacy from waiting for others than this pod's.
func Exec(ownLock bool) Runner {
	return func(program string, args []string, input string) (string, error) {
		env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "XTABLES_LOCKFILE=" + lockFile(ownLock)}
		c, err := newChild(input)
		if err != nil {
			return "", fmt.Errorf("%s: %w", program, err)
		}
		defer c.close()
		if err = c.run(program, args, env); err == nil {
			return c.output(1)
		}
		complaint, _ := c.output(2)
		return "", fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, firstLines(complaint))
	}
}

// firstLines is enough of a complaint to act on.
func firstLines(s string) string {
	const enough = 500
	s = strings.Join(strings.Fields(s), " ")
	return s[:min(len(s), enough)]
}

// versionProblem is the exit status by which iptables says that it and the kernel don't fit.
const versionProblem = 3

// classify sorts a failed run. What iptables prints isn't looked at: our own capabilities say whether it may.
func (b *Backend) classify(doing string, err error) error {
	if lacking := b.lacking(); lacking != nil {
		return fmt.Errorf("%s: %w (%w)", doing, lacking, err)
	}
	var exit ExitError
	if errors.As(err, &exit) && exit != versionProblem {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w (%w)", doing, nft.ErrUnsupported, err)
}

// ErrNetRaw is the right that iptables-legacy needs besides.
var ErrNetRaw = errors.New("iptables-legacy wants CAP_NET_RAW")

// lacking tells which capability the variant needs and the calling thread hasn't.
func (b *Backend) lacking() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("reading this process's capabilities: %w", err)
	}
	if data[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		return nft.ErrPermission
	}
	if b.programs.Variant == Legacy && data[0].Effective&(1<<unix.CAP_NET_RAW) == 0 {
		return ErrNetRaw
	}
	return nil
}
