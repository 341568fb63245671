// Package templates is data: the built-in templates, one YAML file each, a partial Pod with CEL placeholders. Package
// inject compiles them; it gets them as an fs.FS.
package templates

import "embed"

// FS holds NAME.yaml for each built-in template.
//
//go:embed *.yaml
var FS embed.FS
