package xds

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// A UriTemplateMatchConfig and a UriTemplateRewriteConfig have one field each.
var (
	templateMatchSchema   = []field{{number: 1, name: "path_template"}}
	templateRewriteSchema = []field{{number: 1, name: "path_template_rewrite"}}
)

// Envoy's bounds of a template.
const (
	maxTemplate          = 4096
	maxTemplateVariables = 5
)

func (d *decoder) templateRule(t typed, out *config.Rule) {
	out.Kind, out.Regex = config.RuleTemplate, d.template(t)
}

// template decodes the extension for URI templates to an expression that matches what the template does. Its groups
// are the template's variables, by name.
func (d *decoder) template(t typed) *config.Regex {
	if t.message != uriTemplateMatch {
		d.fail("not supported")
		return nil
	}
	return d.templateRegex(d.private(t, templateMatchSchema).text("path_template"))
}

// templateParts are what stands in a path template: /literal, *, **, {name}, {name=pattern}.
var templateParts = regexp.MustCompile(`\{([A-Za-z][A-Za-z0-9_]*)(?:=([^{}]*))?\}|\*\*|\*|[^{}*]+`)

func (d *decoder) templateRegex(template string) *config.Regex {
	if !strings.HasPrefix(template, "/") || len(template) > maxTemplate {
		d.fail("path template %q doesn't begin with a slash or is too long", excerpt(template))
		return nil
	}
	var out strings.Builder
	end, names := 0, map[string]bool{}
	for _, at := range templateParts.FindAllStringSubmatchIndex(template, -1) {
		if at[0] != end {
			break
		}
		end = at[1]
		d.templatePart(template, at, names, &out)
	}
	if end != len(template) || len(names) > maxTemplateVariables {
		d.fail("path template %q can't be parsed", excerpt(template))
		return nil
	}
	return d.regex(out.String())
}

func (d *decoder) templatePart(template string, at []int, names map[string]bool, out *strings.Builder) {
	part := template[at[0]:at[1]]
	if at[2] < 0 {
		out.WriteString(templateGlob(part))
		return
	}
	name, pattern := template[at[2]:at[3]], "*"
	if at[4] >= 0 {
		pattern = template[at[4]:at[5]]
	}
	if names[name] {
		d.fail("variable %q is there twice", name)
	}
	names[name] = true
	out.WriteString("(?P<" + name + ">")
	for _, glob := range templateParts.FindAllString(pattern, -1) {
		out.WriteString(templateGlob(glob))
	}
	out.WriteString(")")
}

func templateGlob(part string) string {
	switch part {
	case "*":
		return `[^/]+`
	case "**":
		return `.*`
	default:
		return regexp.QuoteMeta(part)
	}
}
