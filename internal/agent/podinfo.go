package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// Files of the container that hold settings, as fs.FS names them.
const (
	labelsFile      = "etc/istio/pod/labels"
	annotationsFile = "etc/istio/pod/annotations"
	meshConfigFile  = "etc/istio/config/mesh"
)

// maxFile bounds each of them, in bytes: four times what the API takes of annotations.
const maxFile = 1 << 20

// text is a file's; "" if there is none. Others that can't be read are told of and go without.
func (r *reader) file(name string) string {
	if r.files == nil {
		return ""
	}
	info, err := fs.Stat(r.files, name)
	if err == nil && info.Size() > maxFile {
		err = fmt.Errorf("%d bytes are more than %d", info.Size(), maxFile)
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			r.note("/%s: %v", name, err)
		}
		return ""
	}
	text, err := fs.ReadFile(r.files, name)
	if err != nil {
		r.note("/%s: %v", name, err)
		return ""
	}
	return string(text)
}

// keyValues reads a file of the downward API's: key="value" a line, quoted as Go does.
func (r *reader) keyValues(name string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(r.file(name)) {
		key, quoted, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		value, err := strconv.Unquote(quoted)
		if err != nil {
			r.note("/%s: the line of %q isn't key=\"value\"", name, key)
			continue
		}
		found[key] = value
	}
	return found
}
