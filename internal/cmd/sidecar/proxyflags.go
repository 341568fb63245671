package sidecar

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/agent"
	"github.com/pillion-mesh/pillion/internal/agent/control"
	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
)

// Values of --control-fd, --mode and --drain-strategy.
const (
	standalone   = "none"
	modeServe    = "serve"
	modeValidate = "validate"

	drainGradual   = "gradual"
	drainImmediate = "immediate"
)

// proxyFlags are the proxy's own, named as Envoy names them.
type proxyFlags struct {
	Epoch     int
	Config    string
	YAML      string
	Mode      string
	ControlFD string
	// DrainTime is how long a gradual drain takes; Immediate has none be gradual.
	DrainTime time.Duration
	Immediate bool
	// ParentShutdown is after how long the proxy before this one is ended. The agent does that; here it is only shown.
	ParentShutdown time.Duration

	fd int
}

// spread is over which peers are asked to leave.
func (f *proxyFlags) spread() time.Duration {
	if f.Immediate {
		return 0
	}
	return f.DrainTime
}

// commandLine is what /server_info says of the flags: envoy.admin.v3.CommandLineOptions, as far as there are such flags.
// What is Envoy's default is left out, but for times.
type commandLine struct {
	Epoch  int    `json:"restart_epoch,omitempty"`
	Config string `json:"config_path,omitempty"`
	YAML   string `json:"config_yaml,omitempty"`
	Mode   string `json:"mode,omitempty"`

	Drain          string `json:"drain_time"`
	Strategy       string `json:"drain_strategy,omitempty"`
	ParentShutdown string `json:"parent_shutdown_time"`
}

func (f *proxyFlags) shown() commandLine {
	shown := commandLine{Epoch: f.Epoch, Config: f.Config, YAML: f.YAML}
	if f.Mode == modeValidate {
		shown.Mode = "Validate"
	}
	if f.Immediate {
		shown.Strategy = "Immediate"
	}
	shown.Drain, shown.ParentShutdown = secondsOf(f.DrainTime)+"s", secondsOf(f.ParentShutdown)+"s"
	return shown
}

// secondsOf is how flags say a time; less than a second is one.
func secondsOf(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// parseProxyFlags reads --name=value and --name value. What it doesn't know the agent's settings may.
func parseProxyFlags(args []string) (*proxyFlags, error) {
	f := &proxyFlags{Mode: modeServe, ControlFD: strconv.Itoa(control.FD)}
	epoch, drain, parent, strategy := "0", secondsOf(agent.DefaultDrainTime), secondsOf(agent.DefaultParentShutdown), drainGradual
	to := map[string]*string{
		"restart-epoch": &epoch, "control-fd": &f.ControlFD, "c": &f.Config, "config-path": &f.Config, "config-yaml": &f.YAML, "mode": &f.Mode,
		"drain-time-s": &drain, "drain-strategy": &strategy, "parent-shutdown-time-s": &parent,
	}
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		field := to[name]
		if field == nil || !strings.HasPrefix(args[i], "-") {
			continue
		}
		if !joined {
			if i++; i == len(args) {
				return nil, fmt.Errorf("--%s wants a value", name)
			}
			value = args[i]
		}
		*field = value
	}
	return f, errors.Join(f.check(epoch), seconds("--drain-time-s", drain, &f.DrainTime), seconds("--parent-shutdown-time-s", parent, &f.ParentShutdown), f.setStrategy(strategy))
}

// seconds reads a flag that is a whole number of them.
func seconds(name, value string, to *time.Duration) error {
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return fmt.Errorf("%s is %q, want a number of seconds", name, value)
	}
	*to = time.Duration(n) * time.Second //nolint:gosec // 31 bits
	return nil
}

func (f *proxyFlags) setStrategy(strategy string) error {
	if strategy != drainGradual && strategy != drainImmediate {
		return fmt.Errorf("--drain-strategy is %q, want %s or %s", strategy, drainGradual, drainImmediate)
	}
	f.Immediate = strategy == drainImmediate
	return nil
}

func (f *proxyFlags) check(epoch string) (err error) {
	if f.Epoch, err = strconv.Atoi(epoch); err != nil || f.Epoch < 0 {
		return fmt.Errorf("--restart-epoch is %q, want a number", epoch)
	}
	if f.Mode != modeServe && f.Mode != modeValidate {
		return fmt.Errorf("--mode is %q, want %s or %s", f.Mode, modeServe, modeValidate)
	}
	if f.ControlFD == standalone {
		return nil
	}
	if f.fd, err = strconv.Atoi(f.ControlFD); err != nil || f.fd < 0 {
		return fmt.Errorf("--control-fd is %q, want a number or %s", f.ControlFD, standalone)
	}
	return nil
}

// readBootstrap reads the bootstrap that flags name, or the one of the settings; without any it is nil. What it doesn't
// say of its node the pod does.
func (f *proxyFlags) readBootstrap(s agent.Settings) (*xds.BootstrapConfig, error) {
	text, from := []byte(f.YAML), "--config-yaml"
	if f.YAML == "" {
		path := cmp.Or(f.Config, s.Bootstrap)
		if path == "" {
			return nil, nil
		}
		var err error
		if text, err = os.ReadFile(path); err != nil {
			return nil, fmt.Errorf("reading the bootstrap: %w", err)
		}
		from = "bootstrap " + path
	}
	b, err := xds.Bootstrap(append(nodeOf(s), text)...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return b, nil
}

// nodeOf is a bootstrap of nothing but the pod's node; none if the pod isn't known.
func nodeOf(s agent.Settings) [][]byte {
	node := s.Node()
	if node.ID == "" {
		return nil
	}
	text, err := json.Marshal(map[string]any{"node": node})
	if err != nil {
		return nil // metadata came from JSON and texts, so it can be written
	}
	return [][]byte{text}
}
