-- Run by Orthanc: sends each CT or X-ray series that it received to opacity-node, once nothing more came of it for
-- StableAge seconds. Whether it is a chest, and what runs on it, the node's own rules decide.
--
-- By series, not by study: results come back as new series of the same study, and by study the images would go again.

local NODE = 'opacity-node' -- its name in DicomModalities
local NODE_AE_TITLE = 'OPACITY_NODE'
local IMAGES = { CT = true, CR = true, DX = true }

local failed = {} -- jobs to be tried again at the next heart beat

local function sentByTheNode(seriesId)
   local instance = ParseJson(RestApiGet('/series/' .. seriesId))['Instances'][1]
   return ParseJson(RestApiGet('/instances/' .. instance .. '/metadata?expand'))['RemoteAET'] == NODE_AE_TITLE
end

function OnStableSeries(seriesId, tags, metadata)
   if IMAGES[tags['Modality']] and not sentByTheNode(seriesId) then
      local order = { Resources = { seriesId }, Synchronous = false }
      RestApiPost('/modalities/' .. NODE .. '/store', DumpJson(order, true))
   end
end

function OnJobFailure(jobId)
   if ParseJson(RestApiGet('/jobs/' .. jobId))['Type'] == 'DicomModalityStore' then
      failed[jobId] = true
   end
end

function OnHeartBeat() -- every LuaHeartBeatPeriod seconds, from Orthanc 1.11.1 on
   for jobId in pairs(failed) do
      failed[jobId] = nil
      RestApiPost('/jobs/' .. jobId .. '/resubmit', '{}')
   end
end
