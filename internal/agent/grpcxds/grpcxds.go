// Package grpcxds writes the bootstrap file of applications that speak xDS themselves, through gRPC: whom to ask, who asks,
// and where the certificates are. Options come in; JSON as gRPC documents it (gRFC A27, and A65 and A97 for credentials)
// goes out, to a file that is there whole or not at all.
package grpcxds

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Options say what a bootstrap says. Paths are those of the application's container.
type Options struct {
	Server   string // host:port of the control plane
	TLS      bool
	Roots    string // file with the control plane's roots, for TLS; empty: those of the system
	Token    string // file with a JWT that goes with each stream, for TLS; empty: none
	ID       string // of the node
	Cluster  string
	Metadata map[string]any
	Certs    *Certs // nil: there are none, so no mTLS between applications
}

// Certs are files in PEM that are read again when they change.
type Certs struct{ Chain, Key, Roots string }

// providerName is what control planes of Istio's kind call the certificates of a workload.
const providerName = "default"

// inboundListener is the name under which they have the listener of a gRPC server; %s is its address.
const inboundListener = "xds.istio.io/grpc/lds/inbound/%s"

// refresh is how often gRPC reads certificates again.
const refresh = "60s"

type bootstrap struct {
	Servers   []server            `json:"xds_servers"`
	Node      node                `json:"node"`
	Providers map[string]provider `json:"certificate_providers,omitempty"`
	Inbound   string              `json:"server_listener_resource_name_template"`
}

type server struct {
	URI      string        `json:"server_uri"`
	Channel  []credentials `json:"channel_creds"`
	Call     []credentials `json:"call_creds,omitempty"`
	Features []string      `json:"server_features"`
}

type credentials struct {
	Type   string         `json:"type"`
	Config map[string]any `json:"config,omitempty"`
}

type node struct {
	ID       string         `json:"id"`
	Cluster  string         `json:"cluster,omitempty"`
	Metadata map[string]any `json:"metadata,omitempty"`
}

type provider struct {
	Plugin string         `json:"plugin_name"`
	Config map[string]any `json:"config"`
}

// Bootstrap is the file's content. It fails where the metadata is no JSON.
func Bootstrap(o Options) ([]byte, error) {
	b := bootstrap{
		Servers: []server{o.server()}, Node: node{o.ID, o.Cluster, o.Metadata}, Inbound: inboundListener,
	}
	if c := o.Certs; c != nil {
		b.Providers = map[string]provider{providerName: {"file_watcher", map[string]any{
			"certificate_file": c.Chain, "private_key_file": c.Key, "ca_certificate_file": c.Roots, "refresh_interval": refresh,
		}}}
	}
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding gRPC's bootstrap: %w", err)
	}
	return append(text, '\n'), nil
}

func (o Options) server() server {
	s := server{URI: o.Server, Channel: []credentials{{Type: "insecure"}}, Features: []string{"xds_v3"}}
	if !o.TLS {
		return s // a token would be everybody's
	}
	s.Channel[0] = credentials{Type: "tls", Config: map[string]any{}}
	if o.Roots != "" {
		s.Channel[0].Config["ca_certificate_file"] = o.Roots
	}
	if o.Token != "" {
		s.Call = []credentials{{"jwt_token_file", map[string]any{"jwt_token_file": o.Token}}}
	}
	return s
}

// Write puts text where path is, at once: who opens it finds the old file or the new one. Other users may read it, as the
// application may be any.
func Write(path string, text []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("writing gRPC's bootstrap: %w", err)
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Chmod(0o644), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing gRPC's bootstrap: %w", errors.Join(err, os.Remove(file.Name())))
	}
	return nil
}
