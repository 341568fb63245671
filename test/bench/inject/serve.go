package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/cmd/pillion/operator"
	"github.com/pillion-mesh/pillion/test/cluster/pki"
)

// serve is the process that https.go loads: the operator's handler behind the operator's server. It says its address
// and its authority, then, for each line it reads, its CPU time so far in nanoseconds; it ends with its input.
func serve(in io.Reader, out, logs io.Writer) error {
	set, err := newSet()
	if err != nil {
		return err
	}
	handler, err := newHandler(set, false, logs)
	if err != nil {
		return err
	}
	authority, certificate, err := newCertificate()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := operator.WebhookServer(handler, func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil })
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	fmt.Fprintln(out, listener.Addr(), base64.StdEncoding.EncodeToString(authority))
	for lines := bufio.NewScanner(in); lines.Scan(); {
		fmt.Fprintln(out, cpuTime().Nanoseconds())
	}
	_ = server.Close()
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// newCertificate is one of an authority of its own, whose certificate comes as PEM.
func newCertificate() (authority []byte, certificate *tls.Certificate, err error) {
	a, err := pki.NewAuthority("bench", time.Now())
	if err != nil {
		return nil, nil, err
	}
	pair, err := a.Issue(pki.Subject{Name: "bench", Hosts: []string{"127.0.0.1"}}, time.Now())
	if err != nil {
		return nil, nil, err
	}
	served, err := tls.X509KeyPair(pair.Cert, pair.Key)
	return a.Cert, &served, err
}

// server is that process, as its parent sees it.
type server struct {
	address string
	roots   *x509.CertPool

	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startServer() (s *server, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s = &server{cmd: exec.Command(program), roots: x509.NewCertPool()} // its logs go to /dev/null, as the kubelet's pipe takes them
	s.cmd.Env = withGOGC(append(os.Environ(), roleEnv+"="+roleServer))
	in, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.in, s.out = in, bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if err := s.greet(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the server: %w", err), s.stop())
	}
	return s, nil
}

// withGOGC adds the deployment's setting where there is no other.
func withGOGC(env []string) []string {
	if os.Getenv("GOGC") == "" {
		env = append(env, "GOGC="+strconv.Itoa(gcPercent))
	}
	return env
}

func (s *server) greet() error {
	line, err := s.out.ReadString('\n')
	if err != nil {
		return err
	}
	address, encoded, _ := strings.Cut(strings.TrimSpace(line), " ")
	authority, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || !s.roots.AppendCertsFromPEM(authority) {
		return fmt.Errorf("its first line is %q", line)
	}
	s.address = address
	return nil
}

// cpu is what the process has taken since its start.
func (s *server) cpu() (time.Duration, error) {
	if _, err := io.WriteString(s.in, "\n"); err != nil {
		return 0, err
	}
	line, err := s.out.ReadString('\n')
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	return time.Duration(n), err
}

func (s *server) stop() error {
	_ = s.in.Close()
	return s.cmd.Wait()
}
