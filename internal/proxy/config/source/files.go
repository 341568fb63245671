package source

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/pillion-mesh/pillion/internal/xdsclient"
)

// pollEvery is how often files are looked at when the system can't tell of changes.
const pollEvery = 2 * time.Second

// files are a file or a directory of resources. What can't be read or parsed leaves its last good contents.
type files struct {
	path   string
	poked  chan struct{} // other names are wanted
	stats  xdsclient.Stats
	good   map[string]*contents // by file
	failed map[string]string    // by file, what was logged
}

func newFiles(path string) *files {
	return &files{path: path, poked: make(chan struct{}, 1), good: map[string]*contents{}, failed: map[string]string{}}
}

func (f *files) poke() {
	select {
	case f.poked <- struct{}{}:
	default:
	}
}

// watch applies the files, and again when they change, until ctx ends.
func (o *origin) watch(ctx context.Context) {
	events := o.events()
	defer events.end()
	for {
		o.reload()
		select {
		case <-ctx.Done():
			return
		case <-o.files.poked:
		case <-events.token:
		}
	}
}

// events tells of changes: by inotify, or, where that fails, by the clock. The directory is watched, because files and
// the links of mounted volumes are replaced, not written.
func (o *origin) events() *changes {
	c := newChanges()
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		if err = watcher.Add(directory(o.files.path)); err == nil {
			go c.follow(watcher)
			return c
		}
		_ = watcher.Close()
	}
	o.source.opts.Log.Info("Files of configuration are polled", "path", o.files.path, "reason", err.Error())
	go c.poll(pollEvery)
	return c
}

func directory(path string) string {
	if names, err := list(path); err == nil && len(names) == 1 && names[0] == path {
		return filepath.Dir(path)
	}
	return path
}

// reload reads the files and applies what they hold, in the order in which one push is applied.
func (o *origin) reload() {
	names, err := list(o.files.path)
	if err != nil {
		o.complain(o.files.path, err)
		return
	}
	o.files.keep(names)
	for _, name := range names {
		if err := o.files.load(name); err != nil {
			o.complain(name, err)
		} else {
			delete(o.files.failed, name)
		}
	}
	for k := range kinds {
		o.applyKind(k, names)
	}
}

// keep forgets files that are gone.
func (f *files) keep(names []string) {
	for name := range f.good {
		if !slices.Contains(names, name) {
			delete(f.good, name)
		}
	}
}

func (f *files) load(name string) error {
	data, err := read(name)
	if err != nil {
		return err
	}
	c, err := parse(data)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	f.good[name] = c
	return nil
}

// complain logs why a file wasn't taken, once.
func (o *origin) complain(name string, err error) {
	for k := range kinds {
		if o.isRootOf(k) {
			o.files.stats.Of(typeURLs[k]).Failure.Add(1)
		}
	}
	if o.files.failed[name] == err.Error() {
		return
	}
	o.files.failed[name] = err.Error()
	o.source.opts.Log.Error(err, "A file of configuration wasn't taken; what it held before stays")
}

func (o *origin) applyKind(k kind, names []string) {
	r := xdsclient.Response{Type: typeURLs[k], Complete: (k == clusters || k == listeners) && o.isRootOf(k)}
	var versions []string
	for _, name := range names {
		if c := o.files.good[name]; c != nil {
			r.Resources = append(r.Resources, c.byKind[k]...)
			versions = append(versions, c.version)
		}
	}
	if len(r.Resources) == 0 && !r.Complete {
		return
	}
	r.Version = strings.Join(versions, ",")
	err := o.source.apply(o, r)
	o.files.stats.Of(r.Type).Answered(r.Version, err)
	if err != nil {
		o.complain(o.files.path, err)
	}
}

// isRootOf reports whether all resources of a kind come from this origin.
func (o *origin) isRootOf(k kind) bool {
	root := o.source.roots[k]
	return root != nil && placeOf(*root, nil) == o.place
}
