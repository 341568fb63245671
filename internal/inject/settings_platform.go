package inject

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// annotationUIDRange is OpenShift's, on namespaces: the users its pods may run as, as start/size or first-last.
const annotationUIDRange = "openshift.io/sa.scc.uid-range"

// followRange gives the proxy a user of the range its namespace has, where 1337 isn't allowed: the second, or the next
// that no container has, since the first is what OpenShift gives applications. An Injector that sets another UID means
// that one.
func (s *settings) followRange(p *Program, pod pod, ns Namespace) {
	text, has := ns.Annotations[annotationUIDRange]
	if !has || p.spec().Proxy.UID != istio.ProxyUID {
		return
	}
	first, last, err := uidRange(text)
	if err != nil {
		s.warn("namespace annotation %s: %v; the sidecar's user stays %d", annotationUIDRange, err, s.uid)
		return
	}
	taken := pod.users()
	uid := first + 1
	for slices.Contains(taken, uid) {
		uid++
	}
	if uid > last {
		s.warn("namespace annotation %s: no user of %s is free; the sidecar's stays %d", annotationUIDRange, cut(text, 30), s.uid)
		return
	}
	s.uid, s.gid = uid, uid
	s.capture.UID, s.capture.GID, s.captured = uid, uid, true
}

// maxUID is the highest user: the next one means "none" to the kernel.
const maxUID = 1<<32 - 2

func uidRange(text string) (first, last int64, err error) {
	start, size, isSize := strings.Cut(text, "/")
	end := ""
	if !isSize {
		start, end, _ = strings.Cut(text, "-")
	}
	first, err = parseNumber(start, 1, maxUID)
	if err == nil && isSize {
		var n int64
		n, err = parseNumber(size, 1, maxUID)
		last = first + n - 1
	} else if err == nil {
		last, err = parseNumber(end, 1, maxUID)
	}
	if err != nil || last < first || last > maxUID {
		return 0, 0, fmt.Errorf("%q is no range such as 1000740000/10000", cut(text, 30))
	}
	return first, last, nil
}

// users are those the pod's containers name.
func (p pod) users() (uids []int64) {
	if uid, ok := number(p.spec.Get("securityContext", "runAsUser")); ok {
		uids = append(uids, uid)
	}
	for _, list := range [2][]*rawjson.Value{p.containers(), p.initContainers()} {
		for _, c := range list {
			if uid, ok := number(c.Get("securityContext", "runAsUser")); ok && nameOf(c) != istio.ContainerProxy {
				uids = append(uids, uid)
			}
		}
	}
	return uids
}

// followProxy lets capture know the user and group of a proxy container the user changed. Each by itself: a process that
// got another user keeps the group the template says. Root is too many others: as with netBind, capture then knows the
// proxy by its group.
func (s *settings) followProxy(own *rawjson.Value) {
	context := own.Get("securityContext")
	if uid, ok := number(context.Get("runAsUser")); ok && uid != s.capture.UID && uid != 0 {
		s.capture.UID, s.captured = uid, true
	}
	if gid, ok := number(context.Get("runAsGroup")); ok && gid != s.capture.GID {
		s.capture.GID, s.captured = gid, true
	}
	if s.capture.GID == 0 && s.capture.Mode != v1alpha1.CaptureNone {
		s.warn("%s has runAsGroup 0: nothing in the pod that has root's group is captured; choose another", istio.ContainerProxy)
	}
}

func number(v *rawjson.Value) (int64, bool) {
	if v.Kind() != rawjson.Number {
		return 0, false
	}
	n, err := strconv.ParseInt(v.Raw(), 10, 64)
	return n, err == nil
}
