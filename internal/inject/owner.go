package inject

import (
	"strings"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// owners are the workload behind the pod and the object it names itself. The first: a ReplicaSet made by a Deployment
// counts as the Deployment, a Job made by a CronJob as the CronJob. Both are told by the names their controllers give,
// since no API call is made here. The second has its UID: kubectl describe shows no Events without one.
func (p pod) owners() (workload, reference Owner) {
	if o, found := p.controller(); found {
		return o.Workload(p.labels.Get("pod-template-hash").Text()), o
	}
	return p.itself(), p.uncontrolled()
}

func (p pod) uncontrolled() Owner {
	for _, ref := range p.metadata.Get("ownerReferences").Items() {
		if o := ownerOf(ref); o.UID != "" {
			return o
		}
	}
	return p.itself()
}

func (p pod) controller() (o Owner, found bool) {
	for _, ref := range p.metadata.Get("ownerReferences").Items() {
		if ref.Get("controller").True() {
			return ownerOf(ref), true
		}
	}
	return Owner{}, false
}

func (p pod) itself() Owner {
	return Owner{APIVersion: "v1", Kind: "Pod", Name: p.name(), UID: p.metadata.Get("uid").Text()}
}

func ownerOf(ref *rawjson.Value) Owner {
	return Owner{
		APIVersion: ref.Get("apiVersion").Text(), Kind: ref.Get("kind").Text(),
		Name: ref.Get("name").Text(), UID: ref.Get("uid").Text(),
	}
}

// Workload is the Deployment or CronJob behind an owner that names a ReplicaSet or Job, else the owner.
func (o Owner) Workload(templateHash string) Owner {
	switch o.Kind {
	case "ReplicaSet":
		if name, ok := strings.CutSuffix(o.Name, "-"+templateHash); ok && templateHash != "" {
			return Owner{APIVersion: o.APIVersion, Kind: "Deployment", Name: name}
		}
	case "Job":
		name, minutes, ok := cutLast(o.Name, "-")
		if ok && len(minutes) >= 8 && strings.Trim(minutes, "0123456789") == "" {
			return Owner{APIVersion: o.APIVersion, Kind: "CronJob", Name: name}
		}
	}
	return o
}

// uri is what Istio calls a workload in its proxies' metadata: kubernetes://apis/apps/v1/namespaces/shop/deployments/pay.
func (o Owner) uri(namespace string) string {
	return "kubernetes://apis/" + o.APIVersion + "/namespaces/" + namespace + "/" + strings.ToLower(o.Kind) + "s/" + o.Name
}

func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}
