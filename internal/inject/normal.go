package inject

import (
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// normalTexts are templates without what no pod gets to see: comments, indentation, and how a text is quoted.
func normalTexts(texts map[string]string) map[string]string {
	normal := make(map[string]string, len(texts))
	for name, text := range texts {
		normal[name] = normalText(text)
	}
	return normal
}

// normalText writes what a template is read as. One that can't be read stays as it is; it won't compile either.
func normalText(text string) string {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		return text
	}
	var b strings.Builder
	writeNormal(&b, &document)
	return b.String()
}

// writeNormal keeps the order of keys, for it is that of the patch. Aliases aren't followed: templates can't have any.
func writeNormal(b *strings.Builder, n *yaml.Node) {
	b.WriteString(strconv.Itoa(int(n.Kind)))
	b.WriteString(n.ShortTag())
	b.WriteString(strconv.Quote(n.Value))
	b.WriteByte('(')
	for _, child := range n.Content {
		writeNormal(b, child)
	}
	b.WriteByte(')')
}
