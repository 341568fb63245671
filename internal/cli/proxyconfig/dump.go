// Package proxyconfig shows what a proxy is configured with. In comes what its admin API answers, /config_dump and
// /clusters?format=json, of our proxy or of Envoy; out go Envoy's messages for -o json and rows for people, with
// istioctl's headings. Read this file first, then one of cluster.go, listener.go, route.go, endpoint.go, secret.go.
package proxyconfig

import (
	"encoding/json"
	"errors"
	"fmt"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Dump is a /config_dump taken apart. A section that wasn't in it is nil.
type Dump struct {
	Bootstrap *adminv3.BootstrapConfigDump
	Clusters  *adminv3.ClustersConfigDump
	Listeners *adminv3.ListenersConfigDump
	Routes    *adminv3.RoutesConfigDump
	Endpoints *adminv3.EndpointsConfigDump
	Secrets   *adminv3.SecretsConfigDump
	ECDS      *adminv3.EcdsConfigDump
}

// errNoDump is what a file that is something else is refused with.
var errNoDump = errors.New(`no "configs" in it: want the answer of /config_dump`)

// ParseDump reads the JSON of /config_dump. Types this program doesn't know are kept as they are, each inside a
// TypedStruct; unknown fields are left out.
func ParseDump(data []byte) (*Dump, error) {
	var raw struct{ Configs []json.RawMessage }
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("reading the dump: %w", err)
	}
	if len(raw.Configs) == 0 {
		return nil, errNoDump
	}
	d := &Dump{}
	for i, config := range raw.Configs {
		if err := d.add(config); err != nil {
			return nil, fmt.Errorf("reading configs[%d] of the dump: %w", i, err)
		}
	}
	return d, nil
}

func (d *Dump) add(config []byte) error {
	var any anypb.Any
	if err := unmarshal(config, &any); err != nil {
		return err
	}
	for _, section := range []struct {
		is  proto.Message
		put func(proto.Message)
	}{
		{&adminv3.BootstrapConfigDump{}, func(m proto.Message) { d.Bootstrap = m.(*adminv3.BootstrapConfigDump) }},
		{&adminv3.ClustersConfigDump{}, func(m proto.Message) { d.Clusters = m.(*adminv3.ClustersConfigDump) }},
		{&adminv3.ListenersConfigDump{}, func(m proto.Message) { d.Listeners = m.(*adminv3.ListenersConfigDump) }},
		{&adminv3.RoutesConfigDump{}, func(m proto.Message) { d.Routes = m.(*adminv3.RoutesConfigDump) }},
		{&adminv3.EndpointsConfigDump{}, func(m proto.Message) { d.Endpoints = m.(*adminv3.EndpointsConfigDump) }},
		{&adminv3.SecretsConfigDump{}, func(m proto.Message) { d.Secrets = m.(*adminv3.SecretsConfigDump) }},
		{&adminv3.EcdsConfigDump{}, func(m proto.Message) { d.ECDS = m.(*adminv3.EcdsConfigDump) }},
	} {
		if !any.MessageIs(section.is) {
			continue
		}
		if err := any.UnmarshalTo(section.is); err != nil {
			return err
		}
		section.put(section.is)
	}
	return nil
}

// ParseClusters reads the JSON of /clusters?format=json.
func ParseClusters(data []byte) (*adminv3.Clusters, error) {
	var clusters adminv3.Clusters
	if err := unmarshal(data, &clusters); err != nil {
		return nil, fmt.Errorf("reading /clusters?format=json: %w", err)
	}
	return &clusters, nil
}

func unmarshal(data []byte, to proto.Message) error {
	known, err := wrapUnknown(data)
	if err != nil {
		return err
	}
	return protojson.UnmarshalOptions{AllowPartial: true, DiscardUnknown: true}.Unmarshal(known, to)
}

// messages takes the contents of fields that hold an Any, leaving out what isn't a T.
func messages[T any, M interface {
	*T
	proto.Message
}](list []*anypb.Any) (all []M) {
	for _, any := range list {
		m := M(new(T))
		if any.UnmarshalTo(m) == nil {
			all = append(all, m)
		}
	}
	return all
}
