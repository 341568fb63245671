package upstream

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/socket"
)

// inNamespace runs f on a thread of a network namespace of its own, with a server there.
func inNamespace(t *testing.T, f func(dst netip.AddrPort, from <-chan netip.AddrPort) error) {
	t.Helper()
	n := nstest.New(t)
	n.Must(t, func() error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close()
		from := make(chan netip.AddrPort, 8)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				from <- c.RemoteAddr().(*net.TCPAddr).AddrPort()
				t.Cleanup(func() { _ = c.Close() })
			}
		}()
		return f(l.Addr().(*net.TCPAddr).AddrPort(), from)
	})
}

// TestOriginalSource: the upstream sees the client's address, and its port if that is wanted; packets have the mark.
func TestOriginalSource(t *testing.T) {
	inNamespace(t, func(dst netip.AddrPort, from <-chan netip.AddrPort) error {
		for _, source := range []config.OriginalSource{{}, {Mark: 7}, {Port: true}} {
			client := netip.MustParseAddrPort("127.0.0.9:12345")
			conn, err := newDialer(nil, localAddrs).dialAddress(t.Context(), &config.Cluster{}, dst, origin{client, &source})
			if err != nil {
				return err
			}
			if got := <-from; got.Addr() != client.Addr() || (got.Port() == client.Port()) != source.Port {
				t.Errorf("%+v: the upstream sees %s", source, got)
			}
			if is, mark := optionOf(t, conn, unix.SOL_IP, unix.IP_TRANSPARENT), optionOf(t, conn, unix.SOL_SOCKET, unix.SO_MARK); is != 1 || mark != int(source.Mark) {
				t.Errorf("%+v: transparent %d, mark %d", source, is, mark)
			}
			_ = conn.Close()
		}
		return nil
	})
}

func optionOf(t *testing.T, c *socket.Conn, level, option int) (value int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), level, option) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// TestOriginalSourceWithoutRight: without NET_ADMIN the dial says so.
func TestOriginalSourceWithoutRight(t *testing.T) {
	inNamespace(t, func(dst netip.AddrPort, _ <-chan netip.AddrPort) error {
		header, none := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{}
		if err := unix.Capset(&header, &none[0]); err != nil { // of this thread, which ends with the namespace
			return err
		}
		_, err := newDialer(nil, localAddrs).dialAddress(t.Context(), &config.Cluster{}, dst, origin{netip.MustParseAddrPort("192.0.2.1:1"), &config.OriginalSource{Mark: 1}})
		if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "original_src) wants NET_ADMIN") {
			t.Errorf("error %v", err)
		}
		return nil
	})
}

// TestOriginalSourceOfAnotherFamily can't be had.
func TestOriginalSourceOfAnotherFamily(t *testing.T) {
	_, err := newDialer(nil, localAddrs).dialAddress(t.Context(), &config.Cluster{}, netip.MustParseAddrPort("[::1]:1"), origin{netip.MustParseAddrPort("127.0.0.1:1"), &config.OriginalSource{}})
	if !errors.Is(err, errFamilies) {
		t.Errorf("error %v", err)
	}
}
