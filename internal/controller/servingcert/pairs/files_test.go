package pairs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// folder is a volume of files that a test replaces.
type folder struct {
	*testing.T
	dir   string
	files *Files
}

func newFolder(t *testing.T) *folder {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	return &folder{t, dir, &Files{Cert: at("tls.crt"), Key: at("tls.key"), CA: at("ca.crt")}}
}

func (f *folder) write(name string, text []byte) {
	f.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), text, 0o600); err != nil {
		f.Fatal(err)
	}
}

// serves wants a pair with that certificate.
func (f *folder) serves(i *issued) {
	f.Helper()
	p, err := f.files.Read(wanted, now)
	if err != nil || !p.Certificate.Leaf.Equal(i.cert) {
		f.Fatalf("pair %v, error %v", p, err)
	}
}

func (f *folder) refuses(reason, says string) {
	f.Helper()
	refusedAt(f.T, f.files, now, reason, says)
}

func refusedAt(t *testing.T, files *Files, at time.Time, reason, says string) {
	t.Helper()
	p, err := files.Read(wanted, at)
	var r *Refused
	if p != nil || !errors.As(err, &r) || r.Reason != reason || !strings.Contains(r.Message, says) {
		t.Fatalf("pair %v, error %v, want %s with %q", p, err, reason, says)
	}
}

// The old pair stays while the new one is half there, whichever file comes first, and isn't called a fault at once.
func TestFilesReplacedOneByOne(t *testing.T) {
	ca, next := newCA(t, "ca"), newCA(t, "next")
	a, b := ca.server(t), next.server(t)
	steps := map[string][]byte{"tls.crt": certPEM(b), "tls.key": b.keyPEM(t), "ca.crt": certPEM(next)}
	for _, order := range [][]string{{"tls.crt", "tls.key", "ca.crt"}, {"tls.key", "tls.crt", "ca.crt"}, {"ca.crt", "tls.key", "tls.crt"}} {
		f := newFolder(t)
		f.refuses(Missing, "tls.crt: doesn't exist")
		f.write("tls.crt", certPEM(a))
		f.write("tls.key", a.keyPEM(t))
		f.write("ca.crt", certPEM(ca))
		f.serves(a)
		f.write(order[0], steps[order[0]])
		f.serves(a)
		f.write(order[1], steps[order[1]])
		f.serves(a)
		f.write(order[2], steps[order[2]])
		f.serves(b)
		f.serves(b)
	}
}

// What stays half-written is refused, again and again, until it is whole.
func TestFilesLeftHalfWritten(t *testing.T) {
	ca := newCA(t, "ca")
	a, b := ca.server(t), ca.server(t)
	f := newFolder(t)
	f.write("tls.crt", certPEM(a))
	f.write("tls.key", a.keyPEM(t))
	f.write("ca.crt", certPEM(ca))
	f.serves(a)
	f.write("tls.key", b.keyPEM(t))
	f.serves(a)
	f.refuses(KeyMismatch, "tls.key: is the key of another certificate")
	f.refuses(KeyMismatch, "tls.key")
	f.write("tls.key", nil)
	f.serves(a)
	f.refuses(Missing, "tls.key: is missing or empty")
	os.Remove(filepath.Join(f.dir, "tls.key"))
	f.serves(a)
	f.refuses(Missing, "tls.key: doesn't exist")
	f.write("tls.key", a.keyPEM(t))
	f.serves(a)
	f.write("tls.key", b.keyPEM(t))
	refusedAt(t, f.files, a.cert.NotAfter.Add(time.Second), KeyMismatch, "tls.key") // the old one is of no use now
}

// A kubelet swaps a link to a folder.
func TestFilesBehindADataLink(t *testing.T) {
	ca, next := newCA(t, "ca"), newCA(t, "next")
	a, b := ca.server(t), next.server(t)
	f := newFolder(t)
	for name, by := range map[string][2]*issued{"..1": {a, ca}, "..2": {b, next}} {
		if err := os.Mkdir(filepath.Join(f.dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		f.write(name+"/tls.crt", certPEM(by[0]))
		f.write(name+"/tls.key", by[0].keyPEM(t))
		f.write(name+"/ca.crt", certPEM(by[1]))
	}
	link := func(to, name string) {
		t.Helper()
		temporary := filepath.Join(f.dir, "..tmp")
		if err := errors.Join(os.Symlink(to, temporary), os.Rename(temporary, filepath.Join(f.dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	link("..1", "..data")
	for _, name := range []string{"tls.crt", "tls.key", "ca.crt"} {
		link("..data/"+name, name)
	}
	f.serves(a)
	link("..2", "..data")
	f.serves(b)
}

// swapping files change between the reads of the first and the second file, which no order of reading prevents.
func TestFilesSwappedWhileRead(t *testing.T) {
	ca := newCA(t, "ca")
	a, b := ca.server(t), ca.server(t)
	f := newFolder(t)
	f.write("ca.crt", certPEM(ca))
	f.write("tls.crt", certPEM(a))
	f.write("tls.key", a.keyPEM(t))
	f.serves(a)
	f.files.Open = func(name string) (fs.File, error) {
		if strings.HasSuffix(name, "tls.key") {
			f.write("tls.crt", certPEM(b))
			f.write("tls.key", b.keyPEM(t))
		}
		return os.Open(name)
	}
	f.serves(a)
	f.serves(b)
}

func TestFilesThatCantBeRead(t *testing.T) {
	ca := newCA(t, "ca")
	a := ca.server(t)
	whole := func(t *testing.T) *folder {
		f := newFolder(t)
		f.write("tls.crt", certPEM(a, ca))
		f.write("tls.key", a.keyPEM(t))
		f.files.CA = ""
		f.serves(a)
		f.files.good = nil
		return f
	}
	t.Run("permission", func(t *testing.T) {
		f := whole(t)
		f.files.Open = func(name string) (fs.File, error) {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
		}
		f.refuses(Unreadable, "tls.crt: can't be read (permission denied); let the operator's user read it")
	})
	t.Run("folder", func(t *testing.T) {
		f := whole(t)
		f.files.Key = f.dir
		f.refuses(Unreadable, "no regular file")
	})
	t.Run("device", func(t *testing.T) {
		f := whole(t)
		f.files.Key = os.DevNull
		f.refuses(Unreadable, "no regular file")
	})
	t.Run("large", func(t *testing.T) {
		f := whole(t)
		f.write("tls.key", make([]byte, maxText+1))
		f.refuses(TooLarge, "tls.key: has 65537 bytes, at most 65536")
	})
	t.Run("no CA", func(t *testing.T) {
		f := whole(t)
		f.write("tls.crt", certPEM(a))
		f.refuses(NoCA, "tls.crt")
	})
}
