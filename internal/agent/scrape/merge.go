package scrape

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
)

const (
	lineBytes   = 64 << 10
	maxFamilies = 1 << 16 // remembered, of eight bytes each
)

// errGone says that the scraper has hung up.
var errGone = errors.New("the scraper is gone")

// merger writes pages of metrics one behind the other as one page. Only whole lines that Prometheus can read are
// passed, and no second description of a family: one bad line would make it throw all of the page away.
type merger struct {
	to    io.Writer
	form  form
	lines *bufio.Reader
	seed  maphash.Seed
	seen  map[uint64]struct{}
}

func newMerger(to io.Writer, f form) *merger {
	return &merger{to: to, form: f, lines: bufio.NewReaderSize(nil, lineBytes), seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
}

// add copies a page. What is wrong with it is told once, at the end; errGone at once.
func (m *merger) add(page io.Reader) error {
	m.lines.Reset(page)
	var fault error
	for number := 1; ; number++ {
		line, err := m.next()
		if errors.Is(err, bufio.ErrBufferFull) {
			fault = fmt.Errorf("line %d is longer than %d bytes", number, lineBytes)
			continue
		}
		if err != nil && (len(line) == 0 || !errors.Is(err, io.EOF)) {
			return errors.Join(fault, ignoreEOF(err)) // what was read of the last line may be half of a number
		}
		keep, bad := m.judge(line)
		if bad {
			fault = fmt.Errorf("line %d is no metric: %.60q", number, line)
		}
		if keep {
			if err := m.write(line); err != nil {
				return err
			}
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// next returns a line without its end. One that is too long is skipped whole.
func (m *merger) next() ([]byte, error) {
	line, err := m.lines.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return bytes.TrimSuffix(line, []byte("\n")), err
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = m.lines.ReadSlice('\n')
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return nil, bufio.ErrBufferFull
}

func (m *merger) write(line []byte) error {
	_, err := m.to.Write(line)
	if err == nil {
		_, err = io.WriteString(m.to, "\n")
	}
	if err != nil {
		return errGone
	}
	return nil
}

// judge says whether a line is passed on, and whether it is wrong. Comments that describe nothing aren't passed:
// OpenMetrics has none, and "# EOF" comes at the end of all pages.
func (m *merger) judge(line []byte) (keep, bad bool) {
	switch {
	case len(bytes.TrimSpace(line)) == 0:
		return false, false
	case line[0] != '#':
		good := m.form.isSample(line)
		return good, !good
	}
	kind, name, described := describes(line)
	if !described {
		return false, false
	}
	if !m.form.isDescription(line) {
		return false, true
	}
	return m.first(kind, name)
}

// first says whether a description is the first of its kind and family. Beyond the bound none is.
func (m *merger) first(kind, name []byte) (first, bad bool) {
	var hash maphash.Hash
	hash.SetSeed(m.seed)
	_, _ = hash.Write(kind)
	_, _ = hash.Write(name)
	key := hash.Sum64()
	if _, known := m.seen[key]; known {
		return false, false
	}
	if len(m.seen) == maxFamilies {
		return false, true
	}
	m.seen[key] = struct{}{}
	return true, false
}
