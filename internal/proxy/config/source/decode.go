package source

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
	"github.com/pillion-mesh/pillion/internal/xdsclient"
)

// decodeAs decodes a version and puts it where its kind goes: clusters and listeners begin to warm, others go into their
// cell at once.
func (s *Source) decodeAs(e *entry, v *version, raw []byte) *xds.Error {
	var needs xds.Needs
	var err error
	files := filesRead{}
	switch e.kind {
	case clusters:
		v.cluster, needs, err = s.opts.Decode.Cluster(raw, decoding{s, files})
		s.remember(e, files)
	case listeners:
		v.listener, needs, err = s.opts.Decode.Listener(raw, decoding{s, files})
		s.remember(e, files)
		if err == nil {
			err = s.unblocked(e, v.listener)
		}
	case endpoints:
		needs, err = s.decodeEndpoints(e, v, raw)
	case routes:
		needs, err = s.decodeRoutes(e, v, raw)
	case secrets:
		needs, err = s.decodeSecret(e, v, raw)
	case extensions:
		needs, err = s.decodeExtension(e, raw)
	}
	if err != nil {
		return asError(e, err)
	}
	s.notes.take(s.opts.Log, e.resource, needs)
	v.needs = needsOf(needs)
	s.accept(e, v)
	return nil
}

func asError(e *entry, err error) *xds.Error {
	if refused := (*xds.Error)(nil); errors.As(err, &refused) {
		return refused
	}
	return problem(e.kind, e.name, err.Error())
}

// accept puts a decoded version into use.
func (s *Source) accept(e *entry, v *version) {
	switch e.kind {
	case clusters, listeners:
		if v.cluster != nil {
			v.cluster.ViaAPI = !e.static()
		}
		e.warming = v
		s.warm(e)
		s.stale = true
	case extensions:
		e.active, s.stale = v, true
		s.arrived(e.resource)
	default:
		e.active = v
		s.moved = s.moved || e.kind == routes
		s.arrived(e.resource)
	}
}

func (s *Source) decodeEndpoints(e *entry, v *version, raw []byte) (xds.Needs, error) {
	value, needs, err := s.opts.Decode.Endpoints(raw)
	if err == nil {
		value.Version = v.text
		cellOf(s.cells.endpoints, e.name).Store(value)
	}
	return needs, err
}

func (s *Source) decodeRoutes(e *entry, v *version, raw []byte) (xds.Needs, error) {
	value, needs, err := s.opts.Decode.Routes(raw)
	if err == nil {
		value.Version = v.text
		cellOf(s.cells.routes, e.name).Store(value)
	}
	return needs, err
}

func (s *Source) decodeSecret(e *entry, v *version, raw []byte) (xds.Needs, error) {
	files := filesRead{}
	value, needs, err := s.opts.Decode.Secret(raw, files.recording(s.opts.File))
	s.remember(e, files)
	switch {
	case err != nil:
	case value.Certificate != nil:
		value.Certificate.Version = v.text
		cellOf(s.cells.certificates, e.name).Store(value.Certificate)
	case value.Trust != nil:
		value.Trust.Version = v.text
		cellOf(s.cells.trusts, e.name).Store(value.Trust)
	}
	return needs, err
}

func (s *Source) decodeExtension(e *entry, raw []byte) (xds.Needs, error) {
	if err := s.expected(e, raw); err != nil {
		return xds.Needs{}, err
	}
	value, needs, err := s.opts.Decode.Extension(raw, decoding{s, nil})
	if err == nil {
		cellOf(s.cells.filters, e.name).Store(value)
	}
	return needs, err
}

// unblocked refuses a listener whose address another one has: connections are handed over by address.
func (s *Source) unblocked(e *entry, l *config.Listener) error {
	e.blocked = false
	for _, address := range l.Addresses {
		other := s.addresses[address]
		if other == nil || other == e || s.tables[listeners][other.name] != other || !other.has(address) {
			continue // nobody's, or of somebody who moved on
		}
		e.blocked = true
		return fmt.Errorf("address %s is taken by listener %q", address, other.name)
	}
	for _, address := range l.Addresses {
		s.addresses[address] = e
	}
	return nil
}

// has reports whether a listener holds an address, with what serves or with what warms.
func (e *entry) has(address netip.AddrPort) bool {
	for _, v := range []*version{e.active, e.warming} {
		if v != nil && slices.Contains(v.listener.Addresses, address) {
			return true
		}
	}
	return false
}

// retryBlocked tries the listeners again that were refused for their address, now that others may be gone. Who comes
// first by name gets it.
func (s *Source) retryBlocked(k kind) {
	if k != listeners {
		return
	}
	var blocked []*entry
	for _, e := range s.tables[listeners] {
		if e.blocked {
			blocked = append(blocked, e)
		}
	}
	slices.SortFunc(blocked, func(a, b *entry) int { return strings.Compare(a.name, b.name) })
	for _, e := range blocked {
		v := &version{text: e.refused.text, raw: e.refused.raw, updated: s.opts.Now()}
		if err := s.decodeAs(e, v, (&inflater{}).bytes(v.raw)); err == nil {
			e.refused = nil
		} else {
			e.refused.err = err
		}
	}
}

// expected refuses an extension of a type that who names it doesn't want. What is wrapped in a TypedStruct is judged by
// its decoder.
func (s *Source) expected(e *entry, raw []byte) error {
	types, is := s.wanted[extensions][e.name].types, extensionType(raw)
	if len(types) == 0 || slices.Contains(types, is) || strings.HasSuffix(is, ".TypedStruct") {
		return nil
	}
	return fmt.Errorf("is of type %s, wanted %s", is, strings.Join(types, " or "))
}

// extensionType reads the type URL of a TypedExtensionConfig's typed_config, its field 2.
func extensionType(raw []byte) string {
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return ""
		}
		value := raw[n:]
		m := protowire.ConsumeFieldValue(number, kind, value)
		if m < 0 {
			return ""
		}
		if number == 2 && kind == protowire.BytesType {
			packed, _ := protowire.ConsumeBytes(value)
			return xdsclient.NameOf(packed) // field 1 of an Any is its type URL
		}
		raw = value[m:]
	}
	return ""
}
