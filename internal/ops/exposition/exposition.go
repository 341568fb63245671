// Package exposition writes Prometheus's text format. Families and samples come in, in the order they shall be read;
// text goes out. It stands for the client library, whose registry and protobuf types would be a third of the sidecar's
// memory. It is a leaf.
package exposition

import (
	"bytes"
	"strconv"
	"strings"
)

// Kinds of families.
const (
	Counter = "counter"
	Gauge   = "gauge"
)

// ContentType is the media type of what a Writer writes.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Writer appends to a buffer.
type Writer struct{ b *bytes.Buffer }

// NewWriter returns a Writer appending to b.
func NewWriter(b *bytes.Buffer) *Writer { return &Writer{b} }

// Family starts a family: its samples must follow before the next one starts.
func (w *Writer) Family(name, kind, help string) {
	if help != "" {
		w.line("# HELP ", name, " ", escapeHelp.Replace(help))
	}
	w.line("# TYPE ", name, " ", kind)
}

// Counter writes a family of one counter without labels.
func (w *Writer) Counter(name, help string, value float64) {
	w.Family(name, Counter, help)
	w.Sample(name, value)
}

// Gauge writes a family of one gauge without labels.
func (w *Writer) Gauge(name, help string, value float64) {
	w.Family(name, Gauge, help)
	w.Sample(name, value)
}

// Sample writes one sample. labels are names and values in turn.
func (w *Writer) Sample(name string, value float64, labels ...string) {
	w.b.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		w.b.WriteByte("{,"[min(i, 1)])
		w.b.WriteString(labels[i])
		w.b.WriteString(`="`)
		escapeLabel.WriteString(w.b, labels[i+1]) //nolint:errcheck // a bytes.Buffer takes everything
		w.b.WriteByte('"')
	}
	if len(labels) > 1 {
		w.b.WriteByte('}')
	}
	w.b.WriteByte(' ')
	w.b.Write(strconv.AppendFloat(w.b.AvailableBuffer(), value, 'f', -1, 64))
	w.b.WriteByte('\n')
}

func (w *Writer) line(parts ...string) {
	for _, part := range parts {
		w.b.WriteString(part)
	}
	w.b.WriteByte('\n')
}

var (
	escapeHelp  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	escapeLabel = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)
