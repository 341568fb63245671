package injector

import (
	"bytes"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

const (
	managerPrefix  = "pillion-injector/" // + name
	managerUnknown = "unknown"
)

// blame names the field manager behind a drift: the last one that holds the field, and then it is caught; if nobody
// holds it, because it was removed, the last one other than us that wrote the object at all.
func blame(managed []metav1.ManagedFieldsEntry, d drift) (manager string, caught bool) {
	var holder, writer *metav1.ManagedFieldsEntry
	for i := range managed {
		m := &managed[i]
		if strings.HasPrefix(m.Manager, managerPrefix) {
			continue
		}
		writer = later(writer, m)
		if holds(m, pathOf(d)) {
			holder = later(holder, m)
		}
	}
	if holder != nil {
		return holder.Manager, true
	}
	if writer != nil {
		return writer.Manager, false
	}
	return managerUnknown, false
}

func later(a, b *metav1.ManagedFieldsEntry) *metav1.ManagedFieldsEntry {
	if a == nil || a.Time == nil || b.Time != nil && !b.Time.Before(a.Time) {
		return b
	}
	return a
}

func pathOf(d drift) fieldpath.Path {
	switch {
	case d.entry == "" && d.field == fieldObject:
		return fieldpath.Path{}
	case d.entry == "":
		return fieldpath.MakePathOrDie("metadata", d.field)
	}
	entry := fieldpath.KeyByFields("name", d.entry)
	switch d.field {
	case fieldEntry:
		return fieldpath.MakePathOrDie("webhooks", entry)
	case fieldBundle:
		return fieldpath.MakePathOrDie("webhooks", entry, "clientConfig", fieldBundle)
	}
	return fieldpath.MakePathOrDie("webhooks", entry, d.field)
}

// holds says whether a manager owns the field at p or something inside it. Whoever made an entry owns the structures in
// it too, but so it doesn't hold each of their fields.
func holds(m *metav1.ManagedFieldsEntry, p fieldpath.Path) bool {
	if m.FieldsV1 == nil {
		return false
	}
	var set fieldpath.Set
	if err := set.FromJSON(bytes.NewReader(m.FieldsV1.GetRawBytes())); err != nil {
		return false
	}
	held := false
	set.Iterate(func(owned fieldpath.Path) { held = held || len(owned) >= len(p) && owned[:len(p)].Equals(p) })
	return held
}
