package pairs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// Files are the three files of a pair. They may be replaced at any time, one after the other or by a link as kubelets
// do: a pair that is half old and half new doesn't match, and is skipped until the next look.
//
// It isn't safe for concurrent use.
type Files struct {
	Cert, Key string
	CA        string                             // may be empty
	Open      func(name string) (fs.File, error) // nil: the machine's

	good *Pair  // what was last returned without a fault
	seen string // what the files held at the last look
}

// Read looks at the files now. When they have just changed into something that can't be served, the pair before is
// returned once more, for they may be half-written; when they are still the same at the next look, they are refused.
// Its error is a *Refused.
func (f *Files) Read(names []string, now time.Time) (*Pair, error) {
	m, fault := f.load()
	state := m.state(fault)
	var pair *Pair
	if fault == nil {
		pair, fault = m.pair(names, now)
	}
	changed := state != f.seen
	f.seen = state
	switch {
	case fault == nil:
		f.good = pair
		return pair, nil
	case changed && f.good != nil && now.Before(f.good.Ends):
		return f.good, nil
	}
	return nil, fault
}

// state is a digest of the contents, or what keeps us from them.
func (m material) state(fault error) string {
	if fault != nil {
		return fault.Error()
	}
	sum := sha256.New()
	for _, p := range []part{m.cert, m.key, m.ca} {
		part := sha256.Sum256(p.text)
		sum.Write(part[:])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func (f *Files) load() (m material, err error) {
	m.origin = "files " + f.Cert + ", " + f.Key
	if m.cert, err = f.read(f.Cert); err != nil {
		return m, err
	}
	if m.key, err = f.read(f.Key); err != nil {
		return m, err
	}
	if f.CA != "" {
		m.origin += ", " + f.CA
		m.ca, err = f.read(f.CA)
	}
	return m, err
}

func (f *Files) read(path string) (part, error) {
	open := f.Open
	if open == nil {
		open = openRegular
	}
	p := part{name: "file " + path}
	file, err := open(path)
	if err == nil {
		defer func() { _ = file.Close() }()
		p.text, err = io.ReadAll(io.LimitReader(file, maxText+1)) // one more, so that TooLarge is seen
	}
	switch {
	case err == nil:
		return p, nil
	case errors.Is(err, fs.ErrNotExist):
		return p, refuse(Missing, p.name, "doesn't exist; write it, or name another by the operator's flags --tls-*-file")
	default:
		return p, refuse(Unreadable, p.name, "can't be read (%s); let the operator's user read it", strings.TrimPrefix(err.Error(), "open "+path+": "))
	}
}

// openRegular opens no pipe or device: they could block for ever.
func openRegular(name string) (fs.File, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("it is no regular file but %s", info.Mode().Type())
	}
	return os.Open(name)
}
