package xds

import (
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Needs is what an object wants besides its own bytes, and what is to be said of it.
type Needs struct {
	Routes, Endpoints, Secrets []Ref // each name once
	Extensions                 []ExtensionRef
	Notes                      []Note
	// Unknown counts protobuf fields this program doesn't know, by message name. They were ignored.
	Unknown map[string]int
}

// Ref names a resource that comes by itself.
type Ref struct {
	Name   string
	Source ConfigSource
}

// ExtensionRef names an HTTP filter that comes by ECDS.
type ExtensionRef struct {
	Ref
	Types []string // type URLs it may have
	// Default serves until it comes; nil: the listener waits. ServeDefault says not to wait even the fetch timeout.
	Default      *config.HTTPFilter
	ServeDefault bool
}

// ConfigSource says where a resource comes from. The zero value is a secret's without sds_config: one of the bootstrap's
// static secrets.
type ConfigSource struct {
	ADS     bool   // the ADS stream, or the stream the naming resource came on
	Cluster string // else a gRPC service of this cluster
	Path    string // else a file
	Delta   bool   // of Cluster: DELTA_GRPC
	// FetchTimeout is initial_fetch_timeout: how long to wait before serving without it; 0 waits for ever.
	FetchTimeout time.Duration
}

// NoteKind says what became of something that isn't done as it was asked for.
type NoteKind uint8

// The kinds of notes.
const (
	// NoEffect: accepted, shown in the dump, does nothing.
	NoEffect NoteKind = iota
	// Degraded: known but not built, only shapes or counts: pillion.config.degraded.
	Degraded
	// Skipped: unknown, and optional: pillion.config.skipped.
	Skipped
)

// String is the kind as logs and /explain name it.
func (k NoteKind) String() string {
	return [...]string{"no effect", "degraded", "skipped"}[k]
}

// Note is one thing that isn't done as it was asked for.
type Note struct {
	Kind NoteKind
	Path string // inside the resource
	What string // name of the field or extension
}
