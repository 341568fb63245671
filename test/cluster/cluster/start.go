package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/pillion-mesh/pillion/test/cluster/component"
	"github.com/pillion-mesh/pillion/test/cluster/progress"
	"github.com/pillion-mesh/pillion/test/cluster/state"
	"github.com/pillion-mesh/pillion/test/cluster/supervise"
)

// InitCommand is the hidden subcommand of test/cluster under which it runs as init.
const InitCommand = "init"

// File descriptors init is given.
const (
	fdControl  = 3 // we say: first the layout, then "detach". Its end before that ends init
	fdMessages = 4 // init says: message values
	fdRelay    = 5 // the listener outside that leads to the API server inside
)

// message is what init tells whoever started it.
type message struct {
	Line  string `json:"line,omitempty"`
	Error string `json:"error,omitempty"`
	Ready bool   `json:"ready,omitempty"`
}

// start runs init and stays with it until the cluster is ready. Init does nothing before it's told to, which happens
// after its pid is on disk: at no moment is there a process `clean` couldn't find, and one that wasn't told ends when
// we do. server is the API server's URL for everyone outside, as far as it's known.
func start(ctx context.Context, o Options, layout component.Layout, server, program string, p *progress.Printer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not ready within %s", startTimeout))
	defer cancel()
	record := state.Record{
		Name: layout.Dir.Name(), Started: time.Now(), ForTests: o.ForTests, APIOnly: layout.APIOnly,
		ControllerManager: layout.ControllerManager, CertManager: layout.CertManager != "", DualStack: layout.DualStack,
		FeatureGates: layout.FeatureGates, Server: server,
	}
	i, err := launch(layout, program, &record)
	if err != nil {
		return err
	}
	defer i.close()
	if err := follow(ctx, i, layout, record, p); err != nil {
		return errors.Join(err, i.process.Kill(10*time.Second))
	}
	return nil
}

// initProcess is our end of a running init.
type initProcess struct {
	process  state.Process
	control  *os.File
	messages *os.File
}

func (i *initProcess) close() { _, _ = i.control.Close(), i.messages.Close() }

func launch(layout component.Layout, program string, record *state.Record) (*initProcess, error) {
	files, err := initFiles(layout, record)
	if err != nil {
		return nil, err
	}
	defer files.close()
	command := exec.Command(program, InitCommand)
	command.Dir = "/"
	command.Stdout, command.Stderr = files.log, files.log
	command.ExtraFiles = files.child
	command.SysProcAttr = initAttributes(layout.APIOnly)
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting init: %w", errors.Join(err, namespaceHint(layout, err)))
	}
	i := &initProcess{control: files.control, messages: files.messages}
	files.control, files.messages = nil, nil
	i.process, err = state.Identify(command.Process.Pid)
	go func() { _ = command.Wait() }() // ends with init; collects it if we're still there
	if err != nil {
		i.close()
		return nil, err
	}
	record.Init = i.process
	if !layout.APIOnly {
		record.NetNS = namespaceInode(i.process.PID)
	}
	if err := layout.Dir.Write(*record); err != nil {
		i.close()
		return nil, err
	}
	return i, nil
}

// descriptors are both ends of what connects us and init.
type descriptors struct {
	log               *os.File
	child             []*os.File
	control, messages *os.File
}

func initFiles(layout component.Layout, record *state.Record) (*descriptors, error) {
	d := &descriptors{}
	var err error
	if d.log, err = os.OpenFile(layout.Dir.Log("init"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, fmt.Errorf("opening init's log: %w", err)
	}
	var childControl, childMessages *os.File
	if childControl, d.control, err = os.Pipe(); err == nil {
		d.child = append(d.child, childControl)
		d.messages, childMessages, err = os.Pipe()
	}
	if err != nil {
		d.close()
		return nil, fmt.Errorf("making pipes to init: %w", err)
	}
	d.child = append(d.child, childMessages)
	if !layout.APIOnly {
		relay, server, err := relayListener(layout, record.Server)
		if err != nil {
			d.close()
			return nil, err
		}
		d.child = append(d.child, relay)
		record.Server = server
	}
	return d, nil
}

// relayListener listens on any port; after a power cut on the one that every kubeconfig names.
func relayListener(layout component.Layout, server string) (*os.File, string, error) {
	address := "127.0.0.1:0"
	if layout.Again {
		address = strings.TrimPrefix(server, "https://")
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, "", fmt.Errorf("listening for the API server: %w", err)
	}
	defer func() { _ = listener.Close() }()
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		return nil, "", fmt.Errorf("listening for the API server: %w", err)
	}
	return file, "https://" + listener.Addr().String(), nil
}

func (d *descriptors) close() {
	for _, f := range append(d.child, d.log, d.control, d.messages) {
		if f != nil {
			_ = f.Close()
		}
	}
}

// follow tells init to go, shows what it says, and detaches from it when it's ready.
func follow(ctx context.Context, i *initProcess, layout component.Layout, record state.Record, p *progress.Printer) error {
	control := json.NewEncoder(i.control)
	if err := control.Encode(startOrder{Layout: layout, Server: record.Server}); err != nil {
		return fmt.Errorf("telling init to start: %w", err)
	}
	if err := listen(ctx, i, p, layout.Dir); err != nil {
		return err
	}
	record.Ready = true
	if err := layout.Dir.Write(record); err != nil {
		return err
	}
	if err := control.Encode("detach"); err != nil {
		return fmt.Errorf("detaching from init: %w", err)
	}
	return nil
}

func listen(ctx context.Context, i *initProcess, p *progress.Printer, dir state.Dir) error {
	stop := context.AfterFunc(ctx, func() { _ = i.messages.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	said := json.NewDecoder(i.messages)
	for {
		var m message
		switch err := said.Decode(&m); {
		case ctx.Err() != nil:
			return fmt.Errorf("starting: %w; last lines of init (%s):\n%s", context.Cause(ctx), dir.Log("init"),
				supervise.LastLines(dir.Log("init"), 20))
		case errors.Is(err, io.EOF):
			return fmt.Errorf("init ended; its last lines (%s):\n%s", dir.Log("init"), supervise.LastLines(dir.Log("init"), 20))
		case err != nil:
			return fmt.Errorf("listening to init: %w", err)
		case m.Error != "":
			return errors.New(m.Error)
		case m.Ready:
			return nil
		}
		p.Line("%s", m.Line)
	}
}

func namespaceHint(layout component.Layout, err error) error {
	if layout.APIOnly || !errors.Is(err, syscall.EPERM) {
		return nil
	}
	return ErrNeedsRoot
}

// freePorts asks for all at once, so that no two are the same.
func freePorts() (component.Ports, error) {
	var got [4]int
	for n := range got {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return component.Ports{}, fmt.Errorf("looking for free ports: %w", err)
		}
		defer func() { _ = listener.Close() }()
		got[n] = listener.Addr().(*net.TCPAddr).Port
	}
	return component.Ports{Etcd: got[0], EtcdPeer: got[1], API: got[2], ControllerManager: got[3]}, nil
}
