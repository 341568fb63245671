// Package dump writes the answer of /config_dump: Envoy's envoy.admin.v3.ConfigDump as JSON, one resource at a time. The
// bytes of resources come in (Config) with a Query; JSON goes out. Resources are shown as they came, but for keys and
// passwords, which are redacted.
//
// Read this file first, then sections.go (what there is), section.go (how one is written), mask.go and redact.go.
package dump

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pillion-mesh/pillion/internal/proxy/pattern"
)

// Resource is one version of a resource.
type Resource struct {
	Version string
	Type    string        // type URL
	Raw     func() []byte // the serialised message
	Updated time.Time     // zero: not told
}

// Failure is a version that was refused, and why.
type Failure struct {
	Version, Reason string
	At              time.Time
}

// State is a resource as it stands. Any of its parts may be nil.
type State struct {
	Name            string
	Active, Warming *Resource
	Failure         *Failure
}

// Set are all resources of a type: of the bootstrap, and others.
type Set struct {
	Version         string // of the last accepted response
	Static, Dynamic []State
}

// Config is what there is to dump.
type Config struct {
	Bootstrap                                                   *Resource // nil: an empty one is shown
	Clusters, Extensions, Endpoints, Listeners, Routes, Secrets Set
}

// Query says which part of a dump is wanted.
type Query struct {
	Resource   string // a repeated field of a section: its elements alone
	Mask       string // a field mask on each section, or on each element of Resource
	IncludeEDS bool
	Name       *regexp.Regexp // of resources; nil: all
}

// Error is a query that can't be answered, with its HTTP status and the text of the answer.
type Error struct {
	Status int
	Text   string
}

func (e *Error) Error() string { return e.Text }

// HTTPStatus is Status: it tells the admin API what to answer.
func (e *Error) HTTPStatus() int { return e.Status }

// ParseQuery reads the query of a URL. The error is an *Error.
func ParseQuery(v url.Values) (Query, error) {
	q := Query{Resource: v.Get("resource"), Mask: v.Get("mask"), IncludeEDS: v.Has("include_eds")}
	if source := v.Get("name_regex"); source != "" {
		name, err := pattern.Compile("^(?:" + source + ")$")
		if err != nil {
			return q, &Error{http.StatusBadRequest, fmt.Sprintf("Error while parsing name_regex from %s: %v", source, err)}
		}
		q.Name = name
	}
	return q, nil
}

func (q Query) takes(name string) bool { return q.Name == nil || q.Name.MatchString(name) }

// Write writes the answer. An *Error comes before anything was written; other errors are the writer's.
func Write(w io.Writer, c *Config, q Query) error {
	all := sections(c, q)
	var err error
	if q.Resource != "" {
		all, err = elements(all, q)
	} else if q.Mask != "" {
		all, err = masked(all, q.Mask)
	}
	if err != nil {
		return err
	}
	out := &writer{Writer: bufio.NewWriterSize(w, 64<<10)}
	out.text("{\n \"configs\": [")
	for i := range all {
		all[i].write(out)
	}
	if out.written > 0 {
		out.text("\n ")
	}
	out.text("]\n}\n")
	return out.Flush()
}

// masked keeps the sections that a mask fits.
func masked(all []section, mask string) ([]section, error) {
	tree := parseMask(mask)
	fit := all[:0]
	for _, s := range all {
		if tree.fits(s.descriptor(), false) {
			s.mask = tree
			fit = append(fit, s)
		}
	}
	if len(fit) == 0 {
		return nil, &Error{http.StatusBadRequest, fmt.Sprintf("FieldMask %s could not be successfully applied to any configs.", mask)}
	}
	return fit, nil
}

// elements leaves of all sections the elements of one repeated field.
func elements(all []section, q Query) ([]section, error) {
	for _, s := range all {
		field := s.descriptor().Fields().ByName(protoreflect.Name(q.Resource))
		switch {
		case field == nil:
			continue
		case !field.IsList():
			return nil, &Error{http.StatusBadRequest, fmt.Sprintf("%s is not a repeated field. Use ?mask=%s to get only this field", q.Resource, q.Resource)}
		}
		s.only = q.Resource
		if q.Mask != "" {
			s.mask = parseMask(q.Mask)
			if !s.mask.fits(field.Message(), true) {
				return nil, &Error{http.StatusBadRequest, fmt.Sprintf("FieldMask paths: %q could not be successfully used.", strings.Split(q.Mask, ","))}
			}
		}
		return []section{s}, nil
	}
	return nil, &Error{http.StatusNotFound, q.Resource + " not found in config dump"}
}
