package telemetry

import (
	"bytes"
	"io"
	"strconv"
	"strings"
)

// promFlush is how much text is collected before it is written.
const promFlush = 32 << 10

// promWriter writes Prometheus's text format. Labels come as text already, because one object's stand in a hundred
// lines. The first error ends it.
type promWriter struct {
	w       io.Writer
	b       bytes.Buffer
	err     error
	pending string // a family's head, written before its first sample
	fixed   string // labels of each sample
}

func newPromWriter(w io.Writer, fixed string) *promWriter { return &promWriter{w: w, fixed: fixed} }

// family starts a family whether or not it has samples.
func (o *promWriter) family(name string, k kind) {
	o.lazyFamily(name, k)
	o.head()
}

// lazyFamily starts a family, of which nothing is written if no sample follows.
func (o *promWriter) lazyFamily(name string, k kind) {
	o.pending = "# TYPE " + name + " " + [...]string{"counter", "gauge", "histogram", "gauge"}[k] + "\n"
}

func (o *promWriter) head() {
	o.b.WriteString(o.pending)
	o.pending = ""
}

// sample writes one line; labels are without braces.
func (o *promWriter) sample(name, labels string, value int64) { o.tagged(name, "", labels, value) }

// tagged writes one line with labels of its own before the object's; they end with a comma.
func (o *promWriter) tagged(name, tags, labels string, value int64) {
	o.head()
	o.b.WriteString(name)
	labels = joinLabels(labels, o.fixed)
	if labels == "" {
		tags = strings.TrimSuffix(tags, ",")
	}
	if tags != "" || labels != "" {
		o.b.WriteByte('{')
		o.b.WriteString(tags)
		o.b.WriteString(labels)
		o.b.WriteByte('}')
	}
	o.b.WriteByte(' ')
	o.b.Write(strconv.AppendInt(o.b.AvailableBuffer(), value, 10))
	o.b.WriteByte('\n')
	if o.b.Len() >= promFlush {
		_ = o.flush()
	}
}

// histogram writes a distribution: its buckets, each with all below it, sum and count.
func (o *promWriter) histogram(q *selection, name, labels string, d *distribution) {
	if q.Buckets == BucketsSummary {
		o.summary(name, labels, d)
		return
	}
	total := uint64(0)
	for i, n := range d.buckets {
		total += n
		o.sample(name+"_bucket", joinLabels(labels, `le="`+boundText(i)+`"`), int64(total))
	}
	o.sample(name+"_sum", labels, int64(d.sum))
	o.sample(name+"_count", labels, int64(total))
}

func (o *promWriter) summary(name, labels string, d *distribution) {
	o.pending = strings.Replace(o.pending, " histogram\n", " summary\n", 1)
	for _, quantile := range quantiles {
		text := strconv.FormatFloat(quantile, 'g', -1, 64)
		o.sample(name, joinLabels(labels, `quantile="`+text+`"`), int64(d.quantile(quantile)))
	}
	o.sample(name+"_sum", labels, int64(d.sum))
	o.sample(name+"_count", labels, int64(d.count()))
}

func boundText(i int) string {
	if i == len(bounds) {
		return "+Inf"
	}
	return strconv.FormatFloat(bounds[i], 'f', -1, 64)
}

func (o *promWriter) flush() error {
	if o.err == nil {
		_, o.err = o.w.Write(o.b.Bytes())
	}
	o.b.Reset()
	return o.err
}

var escapeLabel = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// pairsText writes names and values in turn as labels without braces. What isn't UTF-8 is replaced: a scrape with it
// would be refused whole.
func pairsText(pairs ...string) string {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(pairs[i])
		b.WriteString(`="`)
		b.WriteString(escapeLabel.Replace(strings.ToValidUTF8(pairs[i+1], "\uFFFD")))
		b.WriteByte('"')
	}
	return b.String()
}
