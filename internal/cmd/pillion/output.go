package pillion

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// checkOutput holds -o against what a command can print.
func checkOutput(format string, known ...string) error {
	if slices.Contains(known, format) {
		return nil
	}
	want := known[0]
	if last := len(known) - 1; last > 0 {
		want = strings.Join(known[:last], ", ") + " or " + known[last]
	}
	return usageError("-o %q is unknown; want %s", format, want)
}

// writeResult prints a value as json or yaml.
func writeResult(w io.Writer, value any, format string) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err == nil && format == "yaml" {
		data, err = yaml.JSONToYAML(data)
	}
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", bytes.TrimRight(data, "\n"))
	return err
}
