BEGIN TRANSACTION;
CREATE TABLE device (
     id TEXT PRIMARY KEY,
     name TEXT,
     description TEXT,
     state TEXT,
     last_online TEXT
   ) WITHOUT ROWID;
INSERT INTO "device" VALUES('t1','t1','','','');
CREATE TABLE device_attr (
     deviceid TEXT NOT NULL,
     name TEXT NOT NULL,
     description TEXT,
     value TEXT,
     optional INTEGER NOT NULL DEFAULT 1,
     attr_type TEXT,
     metadata TEXT,
     PRIMARY KEY (deviceid, name)
   ) WITHOUT ROWID;
CREATE TABLE device_history (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     deviceid TEXT NOT NULL,
     name TEXT NOT NULL,
     at INTEGER NOT NULL,
     value TEXT NOT NULL
   );
INSERT INTO "device_history" VALUES(1,'t1','temperature',1795997002807,'21.5');
INSERT INTO "device_history" VALUES(2,'t1','temperature',1795997027678,'21.0');
INSERT INTO "device_history" VALUES(3,'t1','temperature',1795997028199,'22.0');
INSERT INTO "device_history" VALUES(4,'t1','temperature',1795997028807,'23.0');
INSERT INTO "device_history" VALUES(5,'t1','temperature',1795997029248,'24.0');
INSERT INTO "device_history" VALUES(6,'t1','temperature',1795997029723,'25.0');
CREATE TABLE device_twin (
     deviceid TEXT NOT NULL,
     name TEXT NOT NULL,
     description TEXT,
     expected TEXT,
     actual TEXT,
     expected_meta TEXT,
     actual_meta TEXT,
     expected_version TEXT,
     actual_version TEXT,
     optional INTEGER NOT NULL DEFAULT 1,
     attr_type TEXT,
     metadata TEXT,
     desired TEXT,
     PRIMARY KEY (deviceid, name)
   ) WITHOUT ROWID;
INSERT INTO "device_twin" VALUES('t1','setpoint',NULL,'21.5',NULL,'{"timestamp":1795996981861}',NULL,'{"cloud":96,"edge":0}',NULL,1,'float','{}','21.5');
INSERT INTO "device_twin" VALUES('t1','temperature',NULL,NULL,'25.0',NULL,'{"timestamp":1795997029723}',NULL,'{"cloud":0,"edge":6}',1,'float','{}',NULL);
CREATE TABLE identity (name TEXT NOT NULL);
INSERT INTO "identity" VALUES('40866c8fa701e6b23ac01fb40a07d49b');
CREATE TABLE meta (
     key TEXT PRIMARY KEY,
     type TEXT NOT NULL,
     value TEXT
   ) WITHOUT ROWID;
INSERT INTO "meta" VALUES('plant/configmap/settings','configmap','{"apiVersion":"v1","binaryData":{"raw":"AAEC/w=="},"data":{"a":"1","b":"drei"},"kind":"ConfigMap","metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"apiVersion\":\"v1\",\"binaryData\":{\"raw\":\"AAEC/w==\"},\"data\":{\"a\":\"1\",\"b\":\"zwei\"},\"kind\":\"ConfigMap\",\"metadata\":{\"annotations\":{},\"name\":\"settings\",\"namespace\":\"plant\"}}\n"},"name":"settings","namespace":"plant","uid":"e2a7e16e-afe7-487c-9fca-02b7683947c3","creationTimestamp":"2026-11-30T00:02:52Z","resourceVersion":"122"}}');
INSERT INTO "meta" VALUES('plant/device/t1','device','{"apiVersion":"devices.kubeedge.io/v1beta1","kind":"Device","metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"apiVersion\":\"devices.kubeedge.io/v1beta1\",\"kind\":\"Device\",\"metadata\":{\"annotations\":{},\"name\":\"t1\",\"namespace\":\"plant\"},\"spec\":{\"deviceModelRef\":{\"name\":\"thermo\"},\"nodeName\":\"@node@\",\"properties\":[{\"name\":\"temperature\",\"reportToCloud\":true,\"visitors\":{\"protocolName\":\"mqtt\"}},{\"desired\":{\"value\":\"21.5\"},\"name\":\"setpoint\",\"visitors\":{\"protocolName\":\"mqtt\"}}],\"protocol\":{\"protocolName\":\"mqtt\"}}}\n"},"name":"t1","namespace":"plant","uid":"399fd5a7-45cc-4415-bfc4-ef3c37ed5df5","creationTimestamp":"2026-11-30T00:03:00Z","generation":1,"resourceVersion":"96"},"spec":{"deviceModelRef":{"name":"thermo"},"nodeName":"@node@","properties":[{"name":"temperature","reportToCloud":true,"visitors":{"protocolName":"mqtt"}},{"desired":{"value":"21.5"},"name":"setpoint","visitors":{"protocolName":"mqtt"}}],"protocol":{"protocolName":"mqtt"}}}');
INSERT INTO "meta" VALUES('plant/devicemodel/thermo','devicemodel','{"apiVersion":"devices.kubeedge.io/v1beta1","kind":"DeviceModel","metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"apiVersion\":\"devices.kubeedge.io/v1beta1\",\"kind\":\"DeviceModel\",\"metadata\":{\"annotations\":{},\"name\":\"thermo\",\"namespace\":\"plant\"},\"spec\":{\"properties\":[{\"accessMode\":\"ReadOnly\",\"name\":\"temperature\",\"type\":\"FLOAT\"},{\"accessMode\":\"ReadWrite\",\"maximum\":\"30\",\"minimum\":\"5\",\"name\":\"setpoint\",\"type\":\"FLOAT\"}],\"protocol\":\"mqtt\"}}\n"},"name":"thermo","namespace":"plant","uid":"aceb1b99-6ce9-46f1-a0b7-89e0a9478992","creationTimestamp":"2026-11-30T00:03:00Z","generation":1,"resourceVersion":"94"},"spec":{"properties":[{"accessMode":"ReadOnly","name":"temperature","type":"FLOAT"},{"accessMode":"ReadWrite","maximum":"30","minimum":"5","name":"setpoint","type":"FLOAT"}],"protocol":"mqtt"}}');
INSERT INTO "meta" VALUES('plant/pod/bare','pod','{"apiVersion":"v1","kind":"Pod","metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"annotations\":{},\"labels\":{\"app\":\"bare\"},\"name\":\"bare\",\"namespace\":\"plant\"},\"spec\":{\"containers\":[{\"command\":[\"/bin/busybox\",\"sh\",\"-c\",\"mkdir -p /tmp/w; exec /bin/busybox httpd -f -p 8080 -h /tmp/w\"],\"image\":\"kubeedge-bun/busybox:demo\",\"imagePullPolicy\":\"Never\",\"name\":\"a\",\"volumeMounts\":[{\"mountPath\":\"/settings\",\"name\":\"s\"}]}],\"volumes\":[{\"configMap\":{\"name\":\"settings\"},\"name\":\"s\"}]}}\n"},"labels":{"app":"bare"},"name":"bare","namespace":"plant","uid":"cabac41e-e39a-497a-8679-17c397c51eb3","creationTimestamp":"2026-11-30T00:02:53Z","resourceVersion":"36"},"spec":{"containers":[{"command":["/bin/busybox","sh","-c","mkdir -p /tmp/w; exec /bin/busybox httpd -f -p 8080 -h /tmp/w"],"image":"kubeedge-bun/busybox:demo","imagePullPolicy":"Never","name":"a","volumeMounts":[{"mountPath":"/settings","name":"s"}],"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","resources":{}}],"volumes":[{"configMap":{"name":"settings","defaultMode":420},"name":"s"}],"enableServiceLinks":true,"dnsPolicy":"ClusterFirst","restartPolicy":"Always","terminationGracePeriodSeconds":30,"securityContext":{},"schedulerName":"default-scheduler","serviceAccountName":"default","serviceAccount":"default","priority":0,"preemptionPolicy":"PreemptLowerPriority","tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300},{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}],"nodeName":"@node@"},"status":{"phase":"Pending","qosClass":"BestEffort","conditions":[{"type":"PodScheduled","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-30T00:02:53Z"}]}}');
INSERT INTO "meta" VALUES('plant/pod/web-95l5vd585t-mbsmb','pod','{"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"web-95l5vd585t-","namespace":"plant","labels":{"app":"web","pod-template-hash":"95l5vd585t"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-95l5vd585t","uid":"3a93405c-34f6-4e6f-9b8b-09f5c9c7257f","controller":true,"blockOwnerDeletion":true}],"name":"web-95l5vd585t-mbsmb","uid":"8123ed6a-a917-407f-810e-978646f83ee9","creationTimestamp":"2026-11-30T00:02:53Z","resourceVersion":"53"},"spec":{"containers":[{"command":["/bin/busybox","sh","-c","mkdir -p /tmp/w; exec /bin/busybox httpd -f -p 8080 -h /tmp/w"],"envFrom":[{"secretRef":{"name":"password"}}],"image":"kubeedge-bun/busybox:demo","imagePullPolicy":"Never","name":"web","readinessProbe":{"tcpSocket":{"port":8080},"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","resources":{}}],"dnsPolicy":"ClusterFirst","restartPolicy":"Always","terminationGracePeriodSeconds":30,"securityContext":{},"schedulerName":"default-scheduler","enableServiceLinks":true,"serviceAccountName":"default","serviceAccount":"default","priority":0,"preemptionPolicy":"PreemptLowerPriority","tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300},{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}],"nodeName":"@node@"},"status":{"phase":"Pending","qosClass":"BestEffort","conditions":[{"type":"PodScheduled","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-30T00:02:53Z"}]}}');
INSERT INTO "meta" VALUES('plant/pod/web-95l5vd585t-mzw5f','pod','{"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"web-95l5vd585t-","namespace":"plant","labels":{"app":"web","pod-template-hash":"95l5vd585t"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-95l5vd585t","uid":"3a93405c-34f6-4e6f-9b8b-09f5c9c7257f","controller":true,"blockOwnerDeletion":true}],"name":"web-95l5vd585t-mzw5f","uid":"568d4108-66fb-4ba8-864a-6b44fbcecba8","creationTimestamp":"2026-11-30T00:02:53Z","resourceVersion":"60"},"spec":{"containers":[{"command":["/bin/busybox","sh","-c","mkdir -p /tmp/w; exec /bin/busybox httpd -f -p 8080 -h /tmp/w"],"envFrom":[{"secretRef":{"name":"password"}}],"image":"kubeedge-bun/busybox:demo","imagePullPolicy":"Never","name":"web","readinessProbe":{"tcpSocket":{"port":8080},"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","resources":{}}],"dnsPolicy":"ClusterFirst","restartPolicy":"Always","terminationGracePeriodSeconds":30,"securityContext":{},"schedulerName":"default-scheduler","enableServiceLinks":true,"serviceAccountName":"default","serviceAccount":"default","priority":0,"preemptionPolicy":"PreemptLowerPriority","tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300},{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}],"nodeName":"@node@"},"status":{"phase":"Pending","qosClass":"BestEffort","conditions":[{"type":"PodScheduled","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-30T00:02:53Z"}]}}');
INSERT INTO "meta" VALUES('plant/podpatch/bare','podpatch','{"metadata":{"uid":"cabac41e-e39a-497a-8679-17c397c51eb3"},"status":{"message":null,"reason":null,"podIP":"172.17.0.15","podIPs":[{"$patch":"replace"},{"ip":"172.17.0.15"}],"phase":"Running","hostIP":"192.0.2.2","startTime":"2026-11-30T00:02:53Z","qosClass":"BestEffort","containerStatuses":[{"name":"a","state":{"running":{"startedAt":"2026-11-30T00:03:53Z"}},"lastState":{"terminated":{"exitCode":137,"reason":"Error","startedAt":"2026-11-30T00:03:00Z","finishedAt":"2026-11-30T00:03:51Z","containerID":"docker://a0feb76ff6a2ace8e82e29ee478ab4c806e0cb5c48b3882436f0d78be12a4a5a"}},"ready":true,"started":true,"restartCount":1,"image":"kubeedge-bun/busybox:demo","imageID":"docker://sha256:3b46e2aa3a4768b1eacce3cc331b63abf18d3cdf987715a00ab3b4def67d989f","containerID":"docker://a247deb119a7880e4fbfd0655ee91f3f0546c3b698c7dce92470b5ab9db3adfc"}],"hostIPs":[{"$patch":"replace"},{"ip":"192.0.2.2"}],"conditions":[{"message":null,"reason":null,"type":"Initialized","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-30T00:02:53Z"},{"message":null,"reason":null,"type":"Ready","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-30T00:03:53Z"},{"message":null,"reason":null,"type":"ContainersReady","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-30T00:03:53Z"},{"message":null,"reason":null,"type":"PodScheduled","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-30T00:02:53Z"}]}}');
INSERT INTO "meta" VALUES('plant/podpatch/web-95l5vd585t-mbsmb','podpatch','{"metadata":{"uid":"8123ed6a-a917-407f-810e-978646f83ee9"},"status":{"message":null,"reason":null,"podIP":"172.17.0.13","podIPs":[{"$patch":"replace"},{"ip":"172.17.0.13"}],"phase":"Running","hostIP":"192.0.2.2","startTime":"2026-11-30T00:02:53Z","qosClass":"BestEffort","containerStatuses":[{"name":"web","state":{"running":{"startedAt":"2026-11-30T00:03:01Z"}},"lastState":{},"ready":true,"started":true,"restartCount":0,"image":"kubeedge-bun/busybox:demo","imageID":"docker://sha256:3b46e2aa3a4768b1eacce3cc331b63abf18d3cdf987715a00ab3b4def67d989f","containerID":"docker://515980fcf2ef927cfdad5a0b83bd6ae1507af1c0f65b551de0065563e011b6d0"}],"hostIPs":[{"$patch":"replace"},{"ip":"192.0.2.2"}],"conditions":[{"message":null,"reason":null,"type":"Initialized","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-30T00:02:53Z"},{"message":null,"reason":null,"type":"Ready","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-30T00:03:02Z"},{"message":null,"reason":null,"type":"ContainersReady","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-30T00:03:02Z"},{"message":null,"reason":null,"type":"PodScheduled","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-30T00:02:53Z"}]}}');
INSERT INTO "meta" VALUES('plant/podpatch/web-95l5vd585t-mzw5f','podpatch','{"metadata":{"uid":"568d4108-66fb-4ba8-864a-6b44fbcecba8"},"status":{"message":null,"reason":null,"podIP":"172.17.0.14","podIPs":[{"$patch":"replace"},{"ip":"172.17.0.14"}],"phase":"Running","hostIP":"192.0.2.2","startTime":"2026-11-30T00:02:53Z","qosClass":"BestEffort","containerStatuses":[{"name":"web","state":{"running":{"startedAt":"2026-11-30T00:03:01Z"}},"lastState":{},"ready":true,"started":true,"restartCount":0,"image":"kubeedge-bun/busybox:demo","imageID":"docker://sha256:3b46e2aa3a4768b1eacce3cc331b63abf18d3cdf987715a00ab3b4def67d989f","containerID":"docker://4a597d2a9824dac5714f40b7e6181ff0207fb791ca58bb7f152fa59d69ae9bfa"}],"hostIPs":[{"$patch":"replace"},{"ip":"192.0.2.2"}],"conditions":[{"message":null,"reason":null,"type":"Initialized","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-30T00:02:53Z"},{"message":null,"reason":null,"type":"Ready","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-30T00:03:02Z"},{"message":null,"reason":null,"type":"ContainersReady","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-30T00:03:02Z"},{"message":null,"reason":null,"type":"PodScheduled","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-30T00:02:53Z"}]}}');
INSERT INTO "meta" VALUES('plant/secret/password','secret','{"apiVersion":"v1","kind":"Secret","metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"annotations\":{},\"name\":\"password\",\"namespace\":\"plant\"},\"stringData\":{\"password\":\"geheim\"},\"type\":\"Opaque\"}\n"},"name":"password","namespace":"plant","uid":"a90736ea-b97a-43a2-bdd3-f11409b66050","creationTimestamp":"2026-11-30T00:02:52Z","resourceVersion":"23"},"type":"Opaque","data":{"password":"Z2VoZWlt"}}');
CREATE TABLE mqtt_outgoing (
     id INTEGER PRIMARY KEY,
     topic TEXT NOT NULL,
     payload BLOB NOT NULL,
     retain INTEGER NOT NULL
   );
CREATE TABLE mqtt_packet (
     id INTEGER PRIMARY KEY,
     client TEXT NOT NULL,
     kind TEXT NOT NULL,
     message_id INTEGER,
     cmd TEXT NOT NULL,
     topic TEXT,
     qos INTEGER NOT NULL,
     retain INTEGER NOT NULL,
     payload BLOB
   , user TEXT);
INSERT INTO "mqtt_packet" VALUES(1,'sleeper','out',NULL,'publish','plant/queue',1,0,X'6F6E65',NULL);
CREATE TABLE mqtt_retained (
     topic TEXT PRIMARY KEY,
     qos INTEGER NOT NULL,
     payload BLOB NOT NULL
   ) WITHOUT ROWID;
INSERT INTO "mqtt_retained" VALUES('plant/retained',1,X'68656C6C6F');
CREATE TABLE mqtt_subscription (
     client TEXT NOT NULL,
     topic TEXT NOT NULL,
     qos INTEGER NOT NULL,
     PRIMARY KEY (client, topic)
   ) WITHOUT ROWID;
INSERT INTO "mqtt_subscription" VALUES('sleeper','$SYS/session',0);
INSERT INTO "mqtt_subscription" VALUES('sleeper','plant/queue',1);
CREATE TABLE outbox (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     lane TEXT NOT NULL,
     key TEXT,
     message TEXT NOT NULL,
     bytes INTEGER NOT NULL
   );
INSERT INTO "outbox" VALUES(21,'twin',NULL,'{"header":{"msg_id":"e0860601-71db-4bcf-a1a6-dca1edb844c6","timestamp":1795997027678},"route":{"source":"twin","group":"resource","operation":"update","resource":"device/t1/twin/edge_updated"},"content":{"event_id":"077d9d27-aec1-49ac-a24c-c2aeb18a043a","timestamp":1795997027678,"device_uid":"399fd5a7-45cc-4415-bfc4-ef3c37ed5df5","twin":{"temperature":{"actual":{"value":"21.0","metadata":{"timestamp":1795997027677}},"optional":true,"metadata":{"type":"float"},"actual_version":{"cloud":0,"edge":2}}}}}',505);
INSERT INTO "outbox" VALUES(22,'upload',NULL,'{"header":{"msg_id":"de6d8335-c43f-4664-b573-0e28196b9ac9","timestamp":1795997027985},"route":{"source":"bus","group":"user","operation":"upload","resource":"SYS/dis/upload_records"},"content":"record-1"}',204);
INSERT INTO "outbox" VALUES(23,'twin',NULL,'{"header":{"msg_id":"f61fcb9f-17f0-4a47-b827-f7e859f6bfbe","timestamp":1795997028199},"route":{"source":"twin","group":"resource","operation":"update","resource":"device/t1/twin/edge_updated"},"content":{"event_id":"90c630b4-bd92-4b28-972e-e558632ac0f5","timestamp":1795997028199,"device_uid":"399fd5a7-45cc-4415-bfc4-ef3c37ed5df5","twin":{"temperature":{"actual":{"value":"22.0","metadata":{"timestamp":1795997028199}},"optional":true,"metadata":{"type":"float"},"actual_version":{"cloud":0,"edge":3}}}}}',505);
INSERT INTO "outbox" VALUES(24,'upload',NULL,'{"header":{"msg_id":"0d730263-69c1-4976-a08a-7a3a244da684","timestamp":1795997028526},"route":{"source":"bus","group":"user","operation":"upload","resource":"SYS/dis/upload_records"},"content":"record-2"}',204);
INSERT INTO "outbox" VALUES(25,'twin',NULL,'{"header":{"msg_id":"a44d41bf-fac0-40ad-bf32-6a6053ced036","timestamp":1795997028807},"route":{"source":"twin","group":"resource","operation":"update","resource":"device/t1/twin/edge_updated"},"content":{"event_id":"b5b96cc0-4772-417c-925b-b47a16f917af","timestamp":1795997028807,"device_uid":"399fd5a7-45cc-4415-bfc4-ef3c37ed5df5","twin":{"temperature":{"actual":{"value":"23.0","metadata":{"timestamp":1795997028799}},"optional":true,"metadata":{"type":"float"},"actual_version":{"cloud":0,"edge":4}}}}}',505);
INSERT INTO "outbox" VALUES(26,'upload',NULL,'{"header":{"msg_id":"c46bc91a-a850-444b-be9c-a9d642527ee2","timestamp":1795997028993},"route":{"source":"bus","group":"user","operation":"upload","resource":"SYS/dis/upload_records"},"content":"record-3"}',204);
INSERT INTO "outbox" VALUES(27,'twin',NULL,'{"header":{"msg_id":"5fa846e6-229a-470b-9894-0bcdd42fe4df","timestamp":1795997029248},"route":{"source":"twin","group":"resource","operation":"update","resource":"device/t1/twin/edge_updated"},"content":{"event_id":"907d8846-b213-4055-8204-3e4fb0b6512d","timestamp":1795997029248,"device_uid":"399fd5a7-45cc-4415-bfc4-ef3c37ed5df5","twin":{"temperature":{"actual":{"value":"24.0","metadata":{"timestamp":1795997029248}},"optional":true,"metadata":{"type":"float"},"actual_version":{"cloud":0,"edge":5}}}}}',505);
INSERT INTO "outbox" VALUES(28,'upload',NULL,'{"header":{"msg_id":"01a110fb-e750-463f-a14c-d4706b0cddbd","timestamp":1795997029436},"route":{"source":"bus","group":"user","operation":"upload","resource":"SYS/dis/upload_records"},"content":"record-4"}',204);
INSERT INTO "outbox" VALUES(29,'twin',NULL,'{"header":{"msg_id":"615225b2-3f6b-4b44-9c54-fa464e4de94e","timestamp":1795997029723},"route":{"source":"twin","group":"resource","operation":"update","resource":"device/t1/twin/edge_updated"},"content":{"event_id":"bec19b72-2bb9-48ce-a140-cfa86d01afd3","timestamp":1795997029723,"device_uid":"399fd5a7-45cc-4415-bfc4-ef3c37ed5df5","twin":{"temperature":{"actual":{"value":"25.0","metadata":{"timestamp":1795997029723}},"optional":true,"metadata":{"type":"float"},"actual_version":{"cloud":0,"edge":6}}}}}',505);
INSERT INTO "outbox" VALUES(30,'upload',NULL,'{"header":{"msg_id":"6108a724-b5b0-44b3-9b3b-bbd4d75cbee9","timestamp":1795997030040},"route":{"source":"bus","group":"user","operation":"upload","resource":"SYS/dis/upload_records"},"content":"record-5"}',204);
INSERT INTO "outbox" VALUES(32,'event','plant/event/bare.18eca9bca9a94900','{"header":{"msg_id":"8a3d4f1a-c6b5-4fd8-bb20-eca6e3365fc6","timestamp":1795997031790},"route":{"source":"edged","group":"meta","operation":"insert","resource":"plant/event/bare.18eca9bca9a94900"},"content":{"apiVersion":"v1","kind":"Event","metadata":{"name":"bare.18eca9bca9a94900","namespace":"plant"},"involvedObject":{"apiVersion":"v1","kind":"Pod","namespace":"plant","name":"bare","uid":"cabac41e-e39a-497a-8679-17c397c51eb3","resourceVersion":"36","fieldPath":"spec.containers{a}"},"reason":"Pulled","message":"Container image \"kubeedge-bun/busybox:demo\" already present on machine","type":"Normal","count":2,"firstTimestamp":"2026-11-30T00:02:59Z","lastTimestamp":"2026-11-30T00:03:51Z","source":{"component":"kubelet","host":"@node@"},"reportingComponent":"kubelet","reportingInstance":"@node@"}}',805);
INSERT INTO "outbox" VALUES(33,'event','plant/event/bare.18eca9bcb428a700','{"header":{"msg_id":"e0a19d9b-251f-4399-8fa0-d9c131c14217","timestamp":1795997031996},"route":{"source":"edged","group":"meta","operation":"insert","resource":"plant/event/bare.18eca9bcb428a700"},"content":{"apiVersion":"v1","kind":"Event","metadata":{"name":"bare.18eca9bcb428a700","namespace":"plant"},"involvedObject":{"apiVersion":"v1","kind":"Pod","namespace":"plant","name":"bare","uid":"cabac41e-e39a-497a-8679-17c397c51eb3","resourceVersion":"36","fieldPath":"spec.containers{a}"},"reason":"Created","message":"Created container a","type":"Normal","count":2,"firstTimestamp":"2026-11-30T00:02:59Z","lastTimestamp":"2026-11-30T00:03:51Z","source":{"component":"kubelet","host":"@node@"},"reportingComponent":"kubelet","reportingInstance":"@node@"}}',753);
INSERT INTO "outbox" VALUES(34,'event','plant/event/bare.18eca9bd0e8a5300','{"header":{"msg_id":"d51262a4-d5a4-4900-8c9b-109961352f25","timestamp":1795997033245},"route":{"source":"edged","group":"meta","operation":"insert","resource":"plant/event/bare.18eca9bd0e8a5300"},"content":{"apiVersion":"v1","kind":"Event","metadata":{"name":"bare.18eca9bd0e8a5300","namespace":"plant"},"involvedObject":{"apiVersion":"v1","kind":"Pod","namespace":"plant","name":"bare","uid":"cabac41e-e39a-497a-8679-17c397c51eb3","resourceVersion":"36","fieldPath":"spec.containers{a}"},"reason":"Started","message":"Started container a","type":"Normal","count":2,"firstTimestamp":"2026-11-30T00:03:00Z","lastTimestamp":"2026-11-30T00:03:53Z","source":{"component":"kubelet","host":"@node@"},"reportingComponent":"kubelet","reportingInstance":"@node@"}}',753);
INSERT INTO "outbox" VALUES(35,'podstatus','plant/podpatch/bare','{"header":{"msg_id":"a3c16184-2cb1-4c54-90c8-ba2530558bf5","timestamp":1795997033401},"route":{"source":"edged","group":"meta","operation":"patch","resource":"plant/podpatch/bare"},"content":"{\"metadata\":{\"uid\":\"cabac41e-e39a-497a-8679-17c397c51eb3\"},\"status\":{\"message\":null,\"reason\":null,\"podIP\":\"172.17.0.15\",\"podIPs\":[{\"$patch\":\"replace\"},{\"ip\":\"172.17.0.15\"}],\"phase\":\"Running\",\"hostIP\":\"192.0.2.2\",\"startTime\":\"2026-11-30T00:02:53Z\",\"qosClass\":\"BestEffort\",\"containerStatuses\":[{\"name\":\"a\",\"state\":{\"running\":{\"startedAt\":\"2026-11-30T00:03:53Z\"}},\"lastState\":{\"terminated\":{\"exitCode\":137,\"reason\":\"Error\",\"startedAt\":\"2026-11-30T00:03:00Z\",\"finishedAt\":\"2026-11-30T00:03:51Z\",\"containerID\":\"docker://a0feb76ff6a2ace8e82e29ee478ab4c806e0cb5c48b3882436f0d78be12a4a5a\"}},\"ready\":true,\"started\":true,\"restartCount\":1,\"image\":\"kubeedge-bun/busybox:demo\",\"imageID\":\"docker://sha256:3b46e2aa3a4768b1eacce3cc331b63abf18d3cdf987715a00ab3b4def67d989f\",\"containerID\":\"docker://a247deb119a7880e4fbfd0655ee91f3f0546c3b698c7dce92470b5ab9db3adfc\"}],\"hostIPs\":[{\"$patch\":\"replace\"},{\"ip\":\"192.0.2.2\"}],\"conditions\":[{\"message\":null,\"reason\":null,\"type\":\"Initialized\",\"status\":\"True\",\"lastProbeTime\":null,\"lastTransitionTime\":\"2026-11-30T00:02:53Z\"},{\"message\":null,\"reason\":null,\"type\":\"Ready\",\"status\":\"True\",\"lastProbeTime\":null,\"lastTransitionTime\":\"2026-11-30T00:03:53Z\"},{\"message\":null,\"reason\":null,\"type\":\"ContainersReady\",\"status\":\"True\",\"lastProbeTime\":null,\"lastTransitionTime\":\"2026-11-30T00:03:53Z\"},{\"message\":null,\"reason\":null,\"type\":\"PodScheduled\",\"status\":\"True\",\"lastProbeTime\":null,\"lastTransitionTime\":\"2026-11-30T00:02:53Z\"}]}}"}',1822);
CREATE TABLE outbox_loss (
     kind TEXT PRIMARY KEY,
     messages INTEGER NOT NULL,
     since INTEGER NOT NULL,
     last INTEGER NOT NULL
   ) WITHOUT ROWID;
CREATE INDEX meta_type ON meta (type);
CREATE UNIQUE INDEX outbox_key ON outbox (lane, key) WHERE key IS NOT NULL;
CREATE INDEX device_history_name ON device_history (deviceid, name, id);
CREATE INDEX outbox_lane ON outbox (lane, id, bytes, key);
INSERT INTO "sqlite_sequence" VALUES('outbox',35);
INSERT INTO "sqlite_sequence" VALUES('device_history',6);
COMMIT;
PRAGMA user_version=6;
