package inject_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/inject"
)

const referencePage = "../../docs/reference/annotations.md"

const referenceStart = `# Annotations and labels of pods

Generated from the table of package ` + "`internal/inject`" + `: ` + "`go test ./internal/inject -run TestReferencePage -update`" + ` writes it.

On the pod, or on the workload's pod template. Each sets one thing and leaves the others. A value that isn't right denies
the pod, and the message names annotation, value and what is wanted. All faults of a pod are told at once. A key that
looks like one of these and isn't warns, with the one that was meant.

| type | values |
|---|---|
| bool | ` + "`true`, `false`, `1`, `0`, `t`, `f`" + ` |
| ports | comma-separated ports 1 to 65535 and ranges ` + "`a-b`" + `; empty is none |
| cidrs | comma-separated CIDRs and addresses, of both families; empty is none |
| ports or \*, cidrs or \* | the same, or ` + "`*`" + ` alone, which is all |
| interfaces | comma-separated names of at most 15 bytes, without ` + "`/`, `:`" + ` and spaces |
| quantity | a quantity of Kubernetes, 0 or more: ` + "`100m`, `128Mi`" + ` |
| level | ` + "`trace`, `debug`, `info`, `warning`, `error`, `critical`, `off`" + ` |
| image | an image reference, with a tag or a digest |

A default that starts with "I" is a field of the Injector, under ` + "`spec`" + `.
`

const referenceEnd = `
## What wins

From the weakest to the strongest:

1. what is built in,
2. the Injector,
3. on OpenShift, the user range of the namespace (` + "`openshift.io/sa.scc.uid-range`" + `): where the Injector leaves ` + "`proxy.uid`" + ` at
   1337, the proxy gets the range's second user, or the next one no container has,
4. ` + "`proxy.istio.io/config`" + `,
5. the other annotations,
6. the pod's own container ` + "`istio-proxy`" + `, field by field.

CPU and memory go by themselves: an annotation replaces the one value it names. Where it is a request above a limit that
the pod inherited, the limit is raised to it, with a warning; where it is a limit below an inherited request, the request
is lowered. A pod is denied if it sets both, and the limit is below the request; and if it shares ` + "`spec.resources`" + ` with
the sidecar and sets more for that than the whole pod has.
` + "`proxy.resourceRatio`" + ` comes between ` + "`proxy.resources`" + ` and the annotations.

## proxy.istio.io/config

Taken from Istio's ProxyConfig: ` + "`concurrency`, `holdApplicationUntilProxyStarts`, `statusPort`, `image.imageType`, `proxyMetadata`" + `
(environment of istio-proxy, literal) and ` + "`interceptionMode`. The rest is checked and handed to the agent, in the variable `PROXY_CONFIG`" + `. It takes
` + "`terminationDrainDuration`, which shortens draining, `drainDuration`, over which clients are asked to leave, `discoveryAddress`" + ` and
` + "`serviceCluster`. `parentShutdownDuration`" + ` is for hot restarts, which there are none of yet. Fields
without a meaning for this proxy warn; so do unknown ones.
`

// TestReferencePage: the page says what the table says.
func TestReferencePage(t *testing.T) {
	var page bytes.Buffer
	page.WriteString(referenceStart)
	for _, group := range groups() {
		writeGroup(&page, group)
	}
	page.WriteString(referenceEnd)
	if *update {
		if err := os.WriteFile(referencePage, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, page.Bytes()) {
		t.Errorf("%s differs from the table; go test -run TestReferencePage -update writes it:\n%s", referencePage, page.Bytes())
	}
}

// groups are the table's, in its order.
func groups() (list []inject.Group) {
	seen := map[inject.Group]bool{}
	for _, group := range []inject.Group{inject.GroupSelection, inject.GroupTemplates, inject.GroupProxy} { // not as rows take effect
		list, seen[group] = append(list, group), true
	}
	for _, a := range inject.Annotations() {
		if !seen[a.Group] {
			list, seen[a.Group] = append(list, a.Group), true
		}
	}
	return list
}

func writeGroup(page *bytes.Buffer, group inject.Group) {
	fmt.Fprintf(page, "\n## %s\n\n", group)
	switch group {
	case inject.GroupNoEffect:
		page.WriteString("They are about Istio's own proxy. Each warns.\n\n")
		for _, a := range inject.Annotations() {
			if a.Group == group {
				fmt.Fprintf(page, "- `%s`\n", a.Key)
			}
		}
		return
	case inject.GroupWritten:
		page.WriteString("| key | | value | meaning |\n|---|---|---|---|\n")
	default:
		page.WriteString("| key | type | default | effect | example |\n|---|---|---|---|---|\n")
	}
	for _, a := range inject.Annotations() {
		switch {
		case a.Group != group:
		case group == inject.GroupWritten:
			fmt.Fprintf(page, "| `%s` | %s | %s | %s |\n", a.Key, kind(a), cell(a.Type), cell(a.Doc))
		default:
			fmt.Fprintf(page, "| `%s`%s | %s | %s | %s | %s |\n", a.Key, labelMark(a), cell(a.Type), cell(a.Default), cell(effect(a)), example(a))
		}
	}
}

func kind(a inject.Annotation) string {
	if a.Label {
		return "label"
	}
	return "annotation"
}

func labelMark(a inject.Annotation) string {
	if a.Label {
		return " (label)"
	}
	return ""
}

func effect(a inject.Annotation) string {
	if a.Instead == "" {
		return a.Doc
	}
	return a.Doc + " Deprecated: use " + a.Instead + "."
}

func example(a inject.Annotation) string {
	if a.Example == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(a.Example, "|", `\|`) + "`"
}

// cell is text as a table of Markdown has it.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "*", `\*`).Replace(text)
}
