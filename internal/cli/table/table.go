// Package table prints rows under headings, as people and their scripts read them.
package table

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Write prints rows under headings with at least five spaces between columns, never cut: people grep, awk and cut
// these.
func Write(w io.Writer, headings []string, rows [][]string) error {
	widths := make([]int, len(headings))
	for _, row := range append([][]string{headings}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range append([][]string{headings}, rows...) {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+5))
			}
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}
